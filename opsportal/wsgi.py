import gc

from opsportal.application import application
from opsportal.lib import background, ratelimit

__all__ = ["application"]

ratelimit.warm()
background.start()

gc.collect()
gc.freeze()
gc.set_threshold(25_000, 20, 50)
