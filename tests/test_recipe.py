from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict

import jsonschema
import pytest
from attrs import fields
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncengine import recipe as recipes
from syncengine.core.guards import Guards, Limit
from syncengine.core.modes import ComparisonMode, ConflictPolicy, OnlyIf, Retain, SymlinkPolicy, SyncMode
from syncengine.core.pruning import Keep
from syncengine.errors import RecipeError
from syncengine.recipe import FORMAT, Recipe, find, load, schema

SHIPPED = sorted((Path(__file__).parent.parent / "recipes").glob("*.toml"))
SETTINGS = {
    "BACKUP_URL": "/mnt/disk",
    "DATA_URL": "sftp://data.example.org/exports",
    "LANDING_URL": "s3://landing/2026",
    "WAREHOUSE_URL": "gs://warehouse/2026",
    "STATE_URL": "s3://state/landing",
}
HEAD = f'format = "{FORMAT}"\nsource = "/a"\ndestination = "/b"\n'


def write(folder: Path, text: str, name: str = "it.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def issues(folder: Path, text: str, name: str = "it.toml") -> tuple[str, ...]:
    file = write(folder, text, name)
    with pytest.raises(RecipeError) as caught:
        load(file, environment={})
    return tuple(issue.replace(f"{file}: ", "it: ") for issue in caught.value.issues)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_recipe_loads_and_says_what_it_is_for(file: Path) -> None:
    recipe = load(file, environment=SETTINGS)

    assert recipe.description
    assert recipe.to_arguments(SETTINGS)["source"]


def test_the_shipped_recipes_are_the_documented_ones() -> None:
    assert [file.stem for file in SHIPPED] == [
        "backup",
        "download-only",
        "mirror",
        "pipeline-plan-apply",
        "quickstart",
        "versioned-backup",
    ]


def test_the_quickstart_copies_a_shipped_folder_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", "/somewhere/else")
    file = next(file for file in SHIPPED if file.stem == "quickstart")

    arguments = load(file).to_arguments()

    assert Path(arguments["source"]) == file.parent / "quickstart"
    assert (Path(arguments["source"]) / "notes" / "idea.txt").is_file()
    assert arguments["destination"] == os.path.join(os.getcwd(), "syncengine-quickstart")
    assert arguments["mode"] is SyncMode.SOURCE_BACKUP


def test_every_key_is_read_into_the_arguments_of_the_engine(tmp_path: Path) -> None:
    text = """
    format = "syncengine.recipe/1"
    source = "s3://bucket/a"
    destination = "data"
    description = "all of them"
    mode = "ltc"
    ignore = ["*.tmp"]
    include = ["*.csv"]
    ignore_files = [".syncignore", ".gitignore"]
    min_size = 1
    max_size = "1.5GiB"
    newer_than = "7d"
    older_than = 2026-01-31T00:00:00Z
    compare = "size-and-mtime"
    conflict = "keep-both"
    renames = false
    scope = ["raw"]
    retain = "all"
    trash = "../trash"
    symlinks = "follow"
    state = "none"
    source_profile = "work"
    destination_profile = "home"
    source_options = { anon = true, client_kwargs = { endpoint_url = "http://127.0.0.1" } }
    destination_options = { port = 22 }
    force = true
    path_map = { "a" = "b" }
    metadata = "mode"
    object_headers = { "*.html" = { cache_control = "no-cache", metadata = { team = "web" } } }
    only_if = "newer"
    require_complete = true
    require_resolved = true
    hash_by_download = true
    workers = 3
    bandwidth = "10MB"
    requests_per_second = 20
    retries = 0
    prune = { keep_last = 3, keep_monthly = 12 }
    [guards]
    max_delete = "5%"
    max_overwrite = "25"
    max_transfer_bytes = "1GB"
    protect = ["*.key"]
    stop_if_emptied = false
    require_marker = ".here"
    """

    arguments = load(write(tmp_path, text)).to_arguments({})

    assert arguments == {
        "source": "s3://bucket/a",
        "destination": str(tmp_path.resolve() / "data"),
        "mode": SyncMode.SOURCE_TO_DESTINATION,
        "ignore": ("*.tmp",),
        "include": ("*.csv",),
        "ignore_files": (".syncignore", ".gitignore"),
        "min_size": 1,
        "max_size": 3 * 2**29,
        "newer_than": "7d",
        "older_than": "2026-01-31T00:00:00+00:00",
        "compare": ComparisonMode.SIZE_AND_MTIME,
        "conflict": ConflictPolicy.KEEP_BOTH,
        "renames": False,
        "scope": ("raw",),
        "guards": Guards(
            max_delete=Limit(fraction=0.05),
            max_overwrite=Limit(count=25),
            max_transfer_bytes=10**9,
            protect=("*.key",),
            stop_if_emptied=False,
            require_marker=".here",
        ),
        "retain": Retain.ALL,
        "object_headers": {"*.html": {"cache_control": "no-cache", "metadata": {"team": "web"}}},
        "prune": Keep(keep_last=3, keep_monthly=12),
        "trash": str(tmp_path.resolve().parent / "trash"),
        "symlinks": SymlinkPolicy.FOLLOW,
        "state": None,
        "source_profile": "work",
        "destination_profile": "home",
        "source_options": {"anon": True, "client_kwargs": {"endpoint_url": "http://127.0.0.1"}},
        "destination_options": {"port": 22},
        "force": True,
        "path_map": {"a": "b"},
        "metadata": "mode",
        "only_if": OnlyIf.NEWER,
        "require_complete": True,
        "require_resolved": True,
        "hash_by_download": True,
        "workers": 3,
        "bandwidth": 10**7,
        "requests_per_second": 20.0,
        "retries": 0,
    }
    assert set(schema()["properties"]) == {*arguments, "format", "description"}


def test_what_a_recipe_does_not_say_is_left_to_the_engine(tmp_path: Path) -> None:
    assert load(write(tmp_path, HEAD)).to_arguments({}) == {"source": "/a", "destination": "/b"}


def test_every_field_of_a_recipe_is_a_key_and_every_guard_too() -> None:
    properties = schema()["properties"]

    assert {field.name for field in fields(Recipe)} - {"folder"} == set(properties)
    assert {field.name for field in fields(Guards)} == set(properties["guards"]["properties"])


UNKNOWN = [
    ('modee = "two-way"', "it: modee: is not a key; did you mean 'mode'?"),
    ("exclude = []", "it: exclude: is not a key; did you mean 'ignore'?"),
    ("delete = true", 'it: delete: is not a key; did you mean mode = "source-to-destination"?'),
    ("ignored = []", "it: ignored: is not a key; did you mean 'ignore'?"),
    ("max-size = 1", "it: max-size: is not a key; did you mean 'max_size'?"),
    ('max_delete = "5%"', "it: max_delete: is not a key; did you mean 'guards.max_delete'?"),
    ('[guards]\nmax_delet = "5%"', "it: guards.max_delet: is not a key; did you mean 'max_delete'?"),
    ('folder = "/x"', "it: folder: is not a key; "),
    ("qqqq = 1", "it: qqqq: is not a key; valid keys: bandwidth, compare,"),
]


@pytest.mark.parametrize(("line", "issue"), UNKNOWN, ids=[line for line, _ in UNKNOWN])
def test_an_unknown_key_is_named_with_its_place_and_the_nearest_valid_one(
    tmp_path: Path, line: str, issue: str
) -> None:
    (found,) = issues(tmp_path, HEAD + line)

    assert found.startswith(issue)


WRONG = [
    ('workers = "5"', "workers: expected a whole number from 1 on, found a text ('5')"),
    ("workers = true", "workers: expected a whole number from 1 on, found true or false (True)"),
    ("workers = 0", "workers: expected a whole number from 1 on, found a whole number (0)"),
    ("workers = 2.0", "workers: expected a whole number from 1 on, found a number (2.0)"),
    ("retries = -1", "retries: expected a whole number from 0 on"),
    ("renames = 1", "renames: expected true or false, found a whole number (1)"),
    ('force = "yes"', "force: expected true or false, found a text ('yes')"),
    ('ignore = "*.tmp"', "ignore: expected a list of texts, found a text ('*.tmp')"),
    ("ignore = [1]", "ignore: expected a list of texts, found a whole number (1)"),
    ("scope = {}", "scope: expected a list of texts, found a table ({})"),
    ('mode = "two-wya"', "mode: mode cannot be 'two-wya'; did you mean 'two-way'?"),
    ("mode = 1", "mode: expected a text, found a whole number (1)"),
    ('compare = "hash"', "compare: compare cannot be 'hash'"),
    ('conflict = "newset"', "conflict: conflict cannot be 'newset'; did you mean 'newest'?"),
    ('only_if = "nwer"', "only_if: only_if cannot be 'nwer'; did you mean 'newer'?"),
    ("max_size = true", 'max_size: expected a number of bytes or a text such as "10MB", found true or false'),
    ('max_size = "10M"', "max_size: a size: '10M' is ambiguous; write 10MB (of 1000) or 10MiB (of 1024)"),
    ('min_size = "much"', 'min_size: a size is a number of bytes or a text such as "10MB"'),
    ("min_size = -1", "min_size: a size is a number of bytes"),
    ('newer_than = "soon"', 'newer_than: it is a duration such as "7d"'),
    ("newer_than = 2026-01-31T00:00:00", "newer_than: it: 2026-01-31T00:00:00 has no time zone"),
    ("older_than = 2026-01-31", 'older_than: expected a duration such as "7d" or a time with a zone'),
    ("older_than = 7", "older_than: expected a text, found a whole number (7)"),
    ("guards = 5", "guards: expected a table, found a whole number (5)"),
    ("[guards]\nmax_delete = 5", 'guards.max_delete: expected a count such as "25" or a share such as "5%", in quotes'),
    ('[guards]\nmax_delete = "half"', 'guards.max_delete: a limit is a count such as "25"'),
    ('[guards]\nprotect = "*.key"', "guards.protect: expected a list of texts"),
    ("[guards]\nstop_if_emptied = 0", "guards.stop_if_emptied: expected true or false"),
    ('path_map = { a = "c", b = "c" }', "path_map: two paths are mapped to one"),
    ("path_map = { a = 1 }", "path_map: expected a table of texts"),
    ('metadata = "owner"', "metadata: metadata cannot be 'owner'; the only valid value is \"mode\""),
    ("requests_per_second = 0", "requests_per_second: expected a number above 0"),
    ("state = false", "state: expected a text"),
    ('trash = ""', "trash: expected a text, found an empty one"),
    ('state = "${x-y}"', "state: a variable is written ${NAME}"),
    ("source_options = []", "source_options: expected a table of storage options"),
]


@pytest.mark.parametrize(("line", "issue"), WRONG, ids=[line for line, _ in WRONG])
def test_a_wrong_value_is_an_error_that_says_what_is_expected(tmp_path: Path, line: str, issue: str) -> None:
    (found,) = issues(tmp_path, HEAD + line)

    assert found.startswith(f"it: {issue}")


@pytest.mark.parametrize(
    "options",
    [
        'secret = "x"',
        'password = "x"',
        'key = "AKIA"',
        'account_key = "x"',
        'sas_token = "x"',
        'connection_string = "x"',
        'client_kwargs = { aws_secret_access_key = "x" }',
    ],
)
def test_a_secret_among_options_is_refused_with_the_cure(tmp_path: Path, options: str) -> None:
    (found,) = issues(tmp_path, f"{HEAD}source_options = {{ {options} }}")

    assert found.startswith("it: source_options: ")
    assert "source_profile" in found
    assert "'x'" not in found
    assert "AKIA" not in found


def test_a_password_in_a_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    text = HEAD.replace('"/a"', '"ftp://me:hunter2@host/x"')

    (found,) = issues(tmp_path, text)

    assert found.startswith("it: source: there is a password in this URL")
    assert "hunter2" not in found


def test_a_password_from_the_environment_is_accepted(tmp_path: Path) -> None:
    recipe = load(write(tmp_path, HEAD.replace('"/a"', '"ftp://me:${PW}@host/x"')), environment={"PW": "hunter2"})

    assert recipe.to_arguments({"PW": "hunter2"})["source"] == "ftp://me:hunter2@host/x"
    assert "hunter2" not in repr(recipe)


@pytest.mark.parametrize("name", ["initial", "allow_emptied", "allow_mass_delete"])
def test_an_argument_of_one_run_has_no_place_in_a_recipe(tmp_path: Path, name: str) -> None:
    (found,) = issues(tmp_path, f"{HEAD}{name} = true")

    assert found.startswith(f"it: {name}: is an argument of one run, not of a recipe")


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = 'destination = "/b"\nmodee = 1\nworkers = "5"\ninitial = "merge"\n[guards]\nmax_delet = "1"\nprotect = 1\n'

    found = issues(tmp_path, text)

    assert sorted(issue.split(": ")[1] for issue in found) == [
        "format",
        "guards.max_delet",
        "guards.protect",
        "initial",
        "modee",
        "source",
        "workers",
    ]


@pytest.mark.parametrize("text", ["syncengine.recipe/2", "syncengine.plan/1", "1"])
def test_another_format_is_refused(tmp_path: Path, text: str) -> None:
    (found,) = issues(tmp_path, HEAD.replace(FORMAT, text))

    assert found.startswith("it: format: ")
    assert FORMAT in found


def test_a_missing_variable_is_an_error_that_says_who_asks(tmp_path: Path) -> None:
    text = HEAD.replace('"/a"', '"${A}/x/${B_2}"') + 'source_profile = "${A}"\nignore = ["${C}"]\n'
    recipe = load(write(tmp_path, text), environment={"A": "s3://a", "B_2": "b"})

    assert recipe.environment == ("A", "B_2")
    assert recipe.to_arguments({"A": "s3://a", "B_2": "b"})["source"] == "s3://a/x/b"
    assert recipe.to_arguments({"A": "s3://a", "B_2": "b"})["ignore"] == ("${C}",)
    assert issues(tmp_path, text) == (
        "it: source, source_profile: the environment variable A is not set",
        "it: source: the environment variable B_2 is not set",
    )
    with pytest.raises(RecipeError, match="B_2 is used by source"):
        recipe.to_arguments({"A": "s3://a"})


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("x", "{folder}/x"),
        ("./x/../y", "{folder}/y"),
        ("~/x", "~/x"),
        ("/x", "/x"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("zip::x.zip", "zip::x.zip"),
    ],
)
def test_a_relative_local_path_starts_at_the_recipe(tmp_path: Path, place: str, expected: str) -> None:
    recipe = load(write(tmp_path, HEAD.replace('"/a"', f'"{place}"')))

    assert recipe.to_arguments({})["source"] == expected.format(folder=tmp_path.resolve())


@pytest.mark.parametrize(
    ("line", "expected"),
    [('state = "none"', {"state": None}), ('state = "default"', {}), ('state = "/s"', {"state": "/s"})],
)
def test_the_state_is_a_place_or_none_or_the_default(tmp_path: Path, line: str, expected: Dict[str, Any]) -> None:
    arguments = load(write(tmp_path, HEAD + line)).to_arguments({})

    assert {name: arguments[name] for name in arguments if name == "state"} == expected


def test_json_says_the_same_as_toml(tmp_path: Path) -> None:
    document = {"format": FORMAT, "source": "/a", "destination": "/b", "workers": 2, "guards": {"max_delete": "5"}}
    from_json = load(write(tmp_path, json.dumps(document), "it.json"))
    from_toml = load(write(tmp_path, HEAD + 'workers = 2\n[guards]\nmax_delete = "5"\n'))

    assert from_json == from_toml
    assert from_json.digest == from_toml.digest


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("it.toml", "mode = ", "is not valid TOML"),
        ("it.json", "{", "is not valid JSON"),
        ("it.json", '{"mode": 1, "mode": 2}', "the key 'mode' stands twice"),
        ("it.json", "[]", "holds no table"),
        ("it.yaml", "", "is a .toml or a .json file"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_by_name(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        load(write(tmp_path, text, name))

    assert name in str(caught.value)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "it.toml").write_bytes(b"\xff")

    for name, message in (("none.toml", "cannot be read"), ("it.toml", "is not valid TOML")):
        with pytest.raises(RecipeError, match=message):
            load(tmp_path / name)


def test_a_recipe_is_found_by_name_in_the_working_directory_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find("mirror").resolve() == SHIPPED[2].resolve()
    assert find("some/mirror.toml") == Path("some/mirror.toml")

    (tmp_path / "recipes").mkdir()
    write(tmp_path / "recipes", HEAD, "mirror.toml")

    assert find("mirror").resolve() == (tmp_path / "recipes" / "mirror.toml").resolve()
    with pytest.raises(RecipeError, match="did you mean 'mirror'"):
        find("miror")


def test_the_digest_depends_on_what_is_said_and_not_on_where(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    text = HEAD.replace('"/a"', '"a"')
    first = load(write(tmp_path, text))
    again = load(write(tmp_path / "elsewhere", text + 'description = "the same"\n'))
    other = load(write(tmp_path, text + "workers = 2\n"))

    assert first.digest == again.digest
    assert first.digest != other.digest
    assert first.digest.startswith("sha256:")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_schema_accepts_every_shipped_recipe(file: Path) -> None:
    document = recipes._document(file)

    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(document, schema())


@pytest.mark.parametrize("line", [line for line, _ in UNKNOWN[:3]] + ['workers = "5"', "renames = 1", "mode = 1"])
def test_the_schema_refuses_what_reading_refuses(tmp_path: Path, line: str) -> None:
    document = recipes._document(write(tmp_path, HEAD + line))

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema())


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**20) | st.floats(allow_nan=False) | st.text("a7d${}", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["key", "a", "max_delete"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    document=st.dictionaries(
        st.sampled_from([*schema()["properties"], "initial", "unknown"]), anything | st.just(FORMAT), max_size=6
    )
)
def test_any_document_is_a_recipe_or_a_recipe_error(
    document: Dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("recipe") / "it.json"
    file.write_text(json.dumps(document), encoding="utf-8")

    try:
        said = load(file, environment={}).to_arguments({})
    except RecipeError as error:
        said = {"issues": error.issues}

    assert said.get("issues") or {"source", "destination"} <= set(said)
