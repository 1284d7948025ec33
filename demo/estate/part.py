"""The part of the services in the story: prepared before the load, there until it ends.

What lives here: which step waits for which proof. What never does: a proof (``troupe.py``).
"""

import time

from demo.estate.troupe import Troupe
from demo.report.figures import Step, step_figures
from demo.sabotage import SERVICE_KINDS, wrong_a_service
from demo.story import Story

BEGIN = "services"
MIGRATIONS = ("stage8", "stage9", "back8", "back7")
PROOFS = (BEGIN, "stage8", "kill8", "stage9", "kill9", "back8", "back7")


def add_services(story: Story, troupe: Troupe, sabotage: tuple[str, ...]) -> None:
    """The programs of ``services/`` live on this Vault as well."""
    troupe.programs.steps = PROOFS
    troupe.programs.stall_limit_ms = story.outcome.stall_limit_ms
    story.outcome.programs = troupe.programs

    def start() -> None:
        with story.step(BEGIN, "the services start", "services") as step:
            troupe.start()
            after(step)
            step.verdict = story.looking.all_while_working(story.crew)
        kinds = tuple(kind for kind in sabotage if kind in SERVICE_KINDS)
        if kinds:
            operator = story.looking.client.use(story.looking.root_token)
            story.screen.bad(f"sabotage: {wrong_a_service(kinds, operator)}")

    def after(step: Step) -> None:
        login = step.name in MIGRATIONS
        troupe.prove(step.name, login=login)
        troupe.take_in()
        figures = step_figures(troupe.programs.requests, step.started, time.monotonic())
        told = f"{figures.operations:,} requests, {figures.failed} failed"
        again = ", logged in again" if login else ""
        story.screen.good(
            f"services: secrets re-read, tokens renewed{again}; {told}, "
            f"longest stall {figures.longest_ms:,.0f} ms"
        )

    story.prepare, story.after, story.finish = troupe.prepare, after, troupe.stop
    story.between["load"] = start
