"""Routing: a path reaches the mount it lies below."""

from zvault.engine.mounts.router import PathSet, Router


def router_of(*prefixes: str) -> Router[str]:
    router: Router[str] = Router()
    for prefix in prefixes:
        router.add(prefix, prefix)
    return router


def test_a_path_reaches_its_mount() -> None:
    router = router_of("sys/", "auth/token/", "a/b/c/", "secret/")
    assert router.find("secret/data/x") == ("secret/", "secret/")
    assert router.find("auth/token/lookup-self") == ("auth/token/", "auth/token/")
    assert router.find("a/b/c/d/e") == ("a/b/c/", "a/b/c/")


def test_a_path_without_its_slash_reaches_the_mount_itself() -> None:
    router = router_of("secret/", "a/b/")
    assert router.find("secret") == ("secret/", "secret/")
    assert router.find("a/b") == ("a/b/", "a/b/")


def test_no_mount_is_no_answer() -> None:
    router = router_of("secret/")
    assert router.find("secre") is None
    assert router.find("secrets/x") is None
    assert router.find("") is None


def test_mounts_that_touch_are_a_conflict() -> None:
    router = router_of("a/b/")
    assert router.conflict("a/b/") == "a/b/"
    assert router.conflict("a/") == "a/b/"
    assert router.conflict("a/b/c/") == "a/b/"
    assert router.conflict("a/bc/") is None


def test_path_sets_know_exact_and_prefix() -> None:
    paths = PathSet(["login", "login/*", "raw*"])
    assert "login" in paths
    assert "login/bob" in paths
    assert "rawhide" in paths
    assert "logins" not in paths
