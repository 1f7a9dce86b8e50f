"""Simulate two people who use a browser, one with a mouse and one with a keyboard only, and count their actions.

The durations do not depend on the machine, because they come from the keystroke-level model (Card, Moran and Newell,
1980) for a practiced user: 0.28 s for a key, 1.1 s for pointing, 0.2 s for a click, 0.4 s for moving a hand from one
device to the other, and 1.35 s for deciding on a step.
"""

from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

KEY, POINT, CLICK, HOMING, DECISION = 0.28, 1.1, 0.2, 0.4, 1.35
MAX_TABS = 40
# Compare the selected text, because an input of type number does not provide `selectionStart`.
IS_READY = """element => element === document.activeElement && getSelection().toString() === element.value"""


@dataclass
class Effort:
    clicks: int = 0
    keys: int = 0  # Includes Tab, Enter, arrow keys and shortcuts.
    # Text that the person with the mouse must also type, such as a password.
    letters: int = 0
    steps: int = 0
    changes: int = 0  # Moves of a hand between the mouse and the keyboard.

    @property
    def seconds(self) -> float:
        pressed = KEY * (self.keys + self.letters)
        return (
            pressed + (POINT + CLICK) * self.clicks + HOMING * self.changes + DECISION * self.steps
        )


def _wait_for_results(page: Page) -> None:
    """Wait until the search shows the results of the whole query, and not of its first letters."""
    expect(page.locator("dialog.palette [role=listbox]")).to_have_attribute("aria-busy", "false")


class Mouse:
    """A person who points and clicks with a mouse, and uses the keyboard only to type text."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.effort = Effort()

    def find(self, text: str, option: str) -> None:
        """Open the portal's search, type `text`, and open the result `option`."""
        self.press(self.page.get_by_role("link", name="Search"))
        self._type(text)
        _wait_for_results(self.page)
        with self.page.expect_navigation():
            self.press(self.page.locator("dialog.palette").get_by_role("option", name=option).first)

    def press(self, target: Locator) -> None:
        self.effort.clicks += 1
        self.effort.steps += 1
        target.click()

    def check(self, target: Locator) -> None:
        self.press(target)

    def fill(self, target: Locator, text: str) -> None:
        """Replace the text of a field. Click the field first, unless it has the focus and its text is selected."""
        expect(target).to_be_visible()
        has_focus_at_first = target.get_attribute("autofocus") is not None
        if has_focus_at_first and self.page.evaluate("document.activeElement === document.body"):
            expect(target).to_be_focused()
        if not target.evaluate(IS_READY):
            self.effort.clicks += 1
            target.click(click_count=3)  # A triple click selects the current text.
        self._type(text)

    def save(self, button: str = "Save") -> None:
        self.press(self.page.get_by_role("button", name=button, exact=True))

    def _type(self, text: str) -> None:
        self.effort.letters += len(text)
        self.effort.changes += 2
        self.page.keyboard.type(text)


class Keyboard:
    """A person who uses only the keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.effort = Effort()

    def find(self, text: str, option: str) -> None:
        self._key("Control+k")
        self.effort.steps += 1
        self._type(text)
        _wait_for_results(self.page)
        found = self.page.locator("dialog.palette").get_by_role("option", name=option).first
        expect(found).to_be_visible()
        self.effort.steps += 1
        while found.get_attribute("aria-selected") != "true":
            self._key("ArrowDown")
        with self.page.expect_navigation():
            self._key("Enter")

    def press(self, target: Locator) -> None:
        """Press the button's shortcut, or if it has none, move to the button with Tab and press Enter."""
        self.effort.steps += 1
        letter = target.get_attribute("data-key")
        if letter:
            self._key(letter)
        else:
            self._reach(target)
            self._key("Enter")

    def check(self, target: Locator) -> None:
        self.effort.steps += 1
        if target.get_attribute("type") != "radio":
            self._reach(target)
            self._key("Space")
            return
        group = self.page.locator(f"input[type=radio][name={target.get_attribute('name')}]")
        self._reach(group.first)  # Tab enters a group of radio buttons, and arrows move within it.
        while not target.is_checked():
            self._key("ArrowDown")

    def fill(self, target: Locator, text: str) -> None:
        self._reach(target)
        self._key("Control+a")
        self._type(text)

    def save(self, button: str = "Save") -> None:
        """Press Enter in the last filled-in field, upon which the browser presses the form's first button."""
        self.effort.steps += 1
        self._key("Enter")

    def _reach(self, target: Locator) -> None:
        expect(target).to_be_visible()
        if self.page.evaluate("document.activeElement === document.body"):
            self._key("Tab")  # The first Tab moves the focus to "Skip to main content".
            self._key("Enter")
        for _ in range(MAX_TABS):
            if target.evaluate("element => element === document.activeElement"):
                return
            self._key("Tab")
        raise AssertionError(f"not reached with {MAX_TABS} times Tab: {target}")

    def _key(self, key: str) -> None:
        self.effort.keys += 1
        self.page.keyboard.press(key)

    def _type(self, text: str) -> None:
        self.effort.letters += len(text)
        self.page.keyboard.type(text)
