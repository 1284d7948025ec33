"""Routes about users for the gateway, which keeps the passwords.

What lives here: making a user, and how one stands now. What never does: SQL, a password.
Invariant: both need a scope that users do not have.
"""

import uuid

from fastapi import APIRouter

from zakupai_billing.key_routes import VALIDATE, TgIdInPath
from zakupai_billing.models import Account, MakeUserRequest
from zakupai_billing.plans import plan_now
from zakupai_billing.users import ADMIN, make_user, user_by_id, user_for
from zakupai_common.web.errors import ProblemError, problem_responses
from zakupai_common.web.identity import CallerDependency, need_scope
from zakupai_common.web.parts import PartsDependency

router = APIRouter(prefix="/billing", tags=["users"])


@router.put("/users/{tg_id}", operation_id="makeUser", dependencies=[need_scope(ADMIN)])
async def make(
    tg_id: TgIdInPath, asked: MakeUserRequest, parts: PartsDependency, caller: CallerDependency
) -> Account:
    """The user with this Telegram id, made unless there is one; again and again."""
    now = parts.clock()
    async with parts.database.begin() as connection:
        await make_user(connection, tg_id, asked.email, now)
        user = await user_for(connection, caller, tg_id)
    plan = plan_now(user.plan, user.plan_until, now).name
    return Account(user_id=user.id, tg_id=tg_id, plan=plan, status=user.status)


@router.get(
    "/accounts/{user_id}",
    operation_id="account",
    dependencies=[need_scope(VALIDATE, ADMIN)],
    responses=problem_responses(404),
)
async def account(user_id: uuid.UUID, parts: PartsDependency) -> Account:
    """A user's plan now, and whether it may log in."""
    async with parts.database.begin() as connection:
        user = await user_by_id(connection, user_id)
    if user is None:
        raise ProblemError(404, "no-user", "there is no user with this id")
    plan = plan_now(user.plan, user.plan_until, parts.clock()).name
    return Account(user_id=user.id, tg_id=user.tg_id, plan=plan, status=user.status)
