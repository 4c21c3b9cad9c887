"""Who one is: passwords, two users at once, changing the user of a session."""
from __future__ import annotations

from typing import Any

import neo4j

from env import Env, check, raises, scenario

WHO = "SHOW CURRENT USER YIELD user"


def who(session: neo4j.Session) -> str:
    return session.run(WHO).single().value()


@scenario
def auth_wrong_password(env: Env) -> Any:
    def attempt(auth: Any) -> dict[str, Any]:
        with env.open(auth=auth) as driver:
            return raises(env, driver.verify_connectivity)

    seen = [attempt((env.wrong[0], "not the password")), attempt(("nobody" + env.tag.lower(), "whatever1"))]
    seen.append(attempt(neo4j.Auth("none", "", "")))
    seen.append(attempt(neo4j.bearer_auth("token")))
    with env.open(auth=env.wrong) as driver:
        driver.verify_connectivity()
    return seen


@scenario
def auth_two_users(env: Env) -> Any:
    """Interleaved, each must see its own name."""
    with env.open(auth=env.alice) as one, env.open(auth=env.bob) as two:
        for _ in range(25):
            for driver, (name, _) in ((one, env.alice), (two, env.bob), (env.driver, env.auth)):
                with driver.session(database="system") as session:
                    check(who(session) == name, "another's name")
                    with session.begin_transaction() as tx:
                        check(tx.run(WHO).single().value() == name, "another's name")
    return "each its own"


@scenario
def auth_verify(env: Env) -> Any:
    if env.driver.get_server_info().protocol_version < (5, 1):
        return [env.driver.supports_session_auth()]
    return [env.driver.supports_session_auth(), env.driver.verify_authentication(env.alice),
            env.driver.verify_authentication((env.wrong[0], "not the password")), env.run("RETURN 1")]


@scenario
def auth_session(env: Env) -> Any:
    """One driver, a user per session: the driver logs its connections off and on."""
    if env.driver.get_server_info().protocol_version < (5, 1):
        with env.session(auth=env.alice) as session:
            return raises(env, lambda: session.run("RETURN 1").consume())["type"]
    with env.open(max_connection_pool_size=2) as driver:
        for _ in range(15):
            for auth in (env.alice, env.bob, None):
                with driver.session(database="system", auth=auth) as session:
                    check(who(session) == (auth or env.auth)[0], "another's name")
        with driver.session(auth=(env.wrong[0], "not the password")) as session:
            error = raises(env, lambda: session.run("RETURN 1").consume())
        with driver.session(database="system", auth=env.bob) as session:
            check(who(session) == env.bob[0])
    return error


@scenario
def auth_password_change(env: Env) -> Any:
    name, old, new = "fresh" + env.tag.lower(), "firstpass1", "secondpass2"
    with env.driver.session(database="system") as session:
        session.run(f"CREATE USER {name} SET PASSWORD '{old}' CHANGE REQUIRED").consume()
    try:
        with env.open(auth=(name, old)) as driver:
            with driver.session(database="neo4j") as session:
                before = raises(env, lambda: session.run("RETURN 1").consume())
            with driver.session(database="system") as session:
                session.run("ALTER CURRENT USER SET PASSWORD FROM $old TO $new", old=old, new=new).consume()
        with env.open(auth=(name, new)) as driver, driver.session(database="neo4j") as session:
            after = session.run("RETURN 1").single().value()
        with env.open(auth=(name, old)) as driver:
            refused = raises(env, driver.verify_connectivity)
    finally:
        with env.driver.session(database="system") as session:
            session.run(f"DROP USER {name}").consume()
    return [before, after, refused]
