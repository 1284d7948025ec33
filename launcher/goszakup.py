"""Goszakup's GraphQL (version 3), played: its schema, pages, errors.

What lives here: the part of the published schema that somebody here asks for, and answers out of a
``World``'s records. What never does: HTTP, tokens, rate limits (``launcher.outside``).
Invariant: as the real one does, it gives records in the order of their keys, at most 200 at once,
and says in ``extensions.pageInfo`` whether there are more; a field that the schema does not have is
an error and no data.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

PATH = "/v3/graphql"
MOST = 200
Records = dict[str, list[dict[str, Any]]]
"""By root field; in any order."""
_ZONE = timezone(timedelta(hours=5))
_QUERY = re.compile(
    r"\s*query\s*\((?P<variables>[^)]*)\)\s*\{\s*(?P<root>\w+)\s*\((?P<arguments>[^)]*)\)\s*"
    r"\{(?P<fields>[^{}]*)\}\s*\}\s*"
)


@dataclass(frozen=True)
class _Type:
    key: str
    filter_type: str
    fields: frozenset[str]
    filters: frozenset[str]


def _type(key: str, filter_type: str, fields: str, filters: str) -> _Type:
    return _Type(key, filter_type, frozenset([key, *fields.split()]), frozenset(filters.split()))


SCHEMA: Mapping[str, _Type] = {
    "Rnu": _type(
        "id",
        "RnuFiltersInput",
        "pid supplierBiin supplierNameRu supplierNameKz supplierInnunp startDate endDate katoList"
        " systemId indexDate",
        "id supplierBiin",
    ),
    "Subjects": _type(
        "pid",
        "SubjectFiltersInput",
        "bin iin nameRu nameKz fullNameRu fullNameKz regdate crdate email phone website customer"
        " supplier krpCode systemId lastUpdateDate indexDate",
        "pid bin iin lastUpdateDate",
    ),
    "TrdBuy": _type(
        "id",
        "TrdBuyFiltersInput",
        "numberAnno nameRu nameKz totalSum countLots orgBin orgNameRu customerBin publishDate"
        " startDate endDate refBuyStatusId refSubjectTypeId refTradeMethodsId systemId"
        " lastUpdateDate indexDate",
        "id numberAnno orgBin publishDate lastUpdateDate refBuyStatusId",
    ),
    "Lots": _type(
        "id",
        "LotsFiltersInput",
        "lotNumber nameRu nameKz descriptionRu descriptionKz amount count customerBin"
        " customerNameRu trdBuyId trdBuyNumberAnno refLotStatusId systemId lastUpdateDate"
        " indexDate",
        "id lotNumber customerBin nameDescriptionRu lastUpdateDate refLotStatusId",
    ),
    "Contract": _type(
        "id",
        "ContractFiltersInput",
        "contractNumber contractNumberSys trdBuyId trdBuyNumberAnno supplierBiin customerBin"
        " contractSum contractSumWnds faktSum crdate signDate finYear refContractStatusId"
        " descriptionRu systemId lastUpdateDate indexDate",
        "id trdBuyId supplierBiin customerBin crdate signDate lastUpdateDate refContractStatusId",
    ),
}


class _AskedWronglyError(Exception):
    """What GraphQL says in ``errors``."""


def answer(records: Records, body: bytes) -> dict[str, Any]:
    """The JSON that goszakup would answer to a request with this body."""
    try:
        asked = json.loads(body)
        return _page(records, str(asked["query"]), asked.get("variables") or {})
    except (ValueError, KeyError, TypeError):
        return {"errors": [{"message": "Syntax Error GraphQL: Unexpected request"}]}
    except _AskedWronglyError as error:
        return {"errors": [{"message": str(error), "locations": [{"line": 1, "column": 1}]}]}


def _page(records: Records, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    found = _QUERY.fullmatch(query)
    if not found:
        raise _AskedWronglyError("Syntax Error GraphQL: this stand-in reads one root field only")
    root = found["root"]
    if root not in SCHEMA:
        raise _AskedWronglyError(f'Cannot query field "{root}" on type "Query".')
    schema, fields = SCHEMA[root], found["fields"].replace(",", " ").split()
    _check(root, schema, fields, found["variables"], variables)
    after, limit = variables.get("after") or 0, min(variables.get("limit") or 50, MOST)
    wanted = [
        record
        for record in sorted(records.get(root, []), key=lambda one: _key(schema, one))
        if _matches(record, variables.get("filter") or {})
    ]
    rest = [record for record in wanted if _key(schema, record) > after]
    page = rest[:limit]
    info = {
        "hasNextPage": len(rest) > len(page),
        "lastId": _key(schema, page[-1]) if page else after,
        "totalCount": len(wanted),
        "limitPage": limit,
    }
    data = [{name: record.get(name) for name in fields} for record in page]
    return {"data": {root: data}, "extensions": {"pageInfo": info}}


def _check(
    root: str, schema: _Type, fields: list[str], told: str, variables: Mapping[str, Any]
) -> None:
    for name in fields:
        if name not in schema.fields:
            raise _AskedWronglyError(f'Cannot query field "{name}" on type "{root}".')
    types = dict(re.findall(r"\$(\w+)\s*:\s*(\w+)", told))
    wanted = {"filter": schema.filter_type, "limit": "Int", "after": "Int"}
    for name, kind in types.items():
        if wanted.get(name) != kind:
            raise _AskedWronglyError(f'Variable "${name}" of type "{kind}" used in position')
    for name in variables.get("filter") or {}:
        if name not in schema.filters:
            raise _AskedWronglyError(
                f'Variable "$filter" got invalid value; Field "{name}" is not defined by type'
                f" {schema.filter_type}."
            )


def _key(schema: _Type, record: Mapping[str, Any]) -> int:
    """Its place; a record that a test left without a key comes where ``_place`` says."""
    found = record.get("_place", record.get(schema.key))
    return found if isinstance(found, int) else 0


def _matches(record: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    for name, value in wanted.items():
        found = record.get(name)
        if name.endswith("Date"):  # a range: its texts sort as the times do
            first, last = value
            if found is not None and not first <= found <= (last or "9999"):
                return False
        elif found not in (value if isinstance(value, list) else [value]):
            return False
    return True


def time_text(moment: datetime) -> str:
    """As goszakup writes times: those of Astana, without a zone."""
    return moment.astimezone(_ZONE).strftime("%Y-%m-%d %H:%M:%S")


def record(root: str, key: int, updated: datetime, **more: Any) -> dict[str, Any]:
    """A record that is whole, of the shape that the real one gives; ``more`` replaces fields."""
    moment = time_text(updated)
    number = f"{key % 10**12:012d}"
    shapes: dict[str, dict[str, Any]] = {
        "Rnu": {"supplierBiin": number, "supplierNameRu": f"ТОО {key}", "startDate": moment},
        "Subjects": {"bin": number, "nameRu": f"ТОО {key}"},
        "TrdBuy": {
            "numberAnno": f"{key}-1",
            "nameRu": "Ноутбуки",
            "totalSum": 1500000.5,
            "orgBin": "000740001307",
            "refBuyStatusId": 220,
            "publishDate": moment,
        },
        "Lots": {
            "lotNumber": f"{key}-ОК1",
            "nameRu": "Ноутбук",
            "descriptionRu": "14 дюймов",
            "amount": 710338.8,
            "customerBin": "000740001307",
            "trdBuyId": key // 10 + 1,
            "trdBuyNumberAnno": f"{key // 10 + 1}-1",
            "refLotStatusId": 220,
        },
        "Contract": {
            "contractNumberSys": f"{key}/1",
            "trdBuyId": key // 10 + 1,
            "supplierBiin": number,
            "customerBin": "000740001307",
            "contractSum": 700000,
            "signDate": moment,
            "refContractStatusId": 190,
        },
    }
    return {SCHEMA[root].key: key, **shapes[root], "lastUpdateDate": moment, **more}


def examples(now: datetime) -> Records:
    """A few of each, all of them changed in the last days."""
    return {
        root: [record(root, key, now - timedelta(hours=key)) for key in range(1, 31)]
        for root in SCHEMA
    }
