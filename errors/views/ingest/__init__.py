"""Where errors come in: Sentry's addresses and the plain JSON endpoint, as one function from a WSGI environ to an Answer.

`addresses` says what is answered by which module here; `entrances` has the ways in: before Django's middleware in
production, where no thread waits for the store or, under another server than ours, one does; and as a Django view, so that
the addresses are known. All get the same answers.
An answer of 200 means: stored, grouped, counted and visible.
"""

from errors.views.ingest.addresses import handle, match
from errors.views.ingest.answers import Answer
from errors.views.ingest.entrances import answer_when_stored, in_front_of, view

__all__ = ["Answer", "answer_when_stored", "handle", "in_front_of", "match", "view"]
