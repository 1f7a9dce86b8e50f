"""Generate the five dashboards from `panels.py`: python -m deploy.grafana.build

The dashboards are generated because Grafana's JSON is long and repetitive. A test checks that the files are up to date,
and that every query returns data from a real Prometheus.
"""

import json
from pathlib import Path
from typing import Any

from deploy.grafana.panels import DASHBOARDS, Panel

FOLDER = Path(__file__).resolve().parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def thresholds(panel: Panel) -> dict[str, Any]:
    """Return the thresholds: green, yellow and red for rising values, or for falling values if lower is worse."""
    limits = [("yellow", panel.warning), ("red", panel.critical)]
    known = [(color, value) for color, value in limits if value is not None]
    if panel.below:
        steps: list[dict[str, Any]] = [{"color": known[-1][0] if known else "green", "value": None}]
        for index, (_, value) in reversed(list(enumerate(known))):
            steps.append({"color": known[index - 1][0] if index else "green", "value": value})
    else:
        steps = [{"color": "green", "value": None}]
        steps += [{"color": color, "value": value} for color, value in known]
    return {"mode": "absolute", "steps": steps}


def panel_json(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    custom = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": False}
    if panel.warning is not None or panel.critical is not None:
        custom |= {"thresholdsStyle": {"mode": "dashed"}}
    field = {
        "unit": panel.unit,
        "thresholds": thresholds(panel),
        "custom": custom if panel.kind == "timeseries" else {},
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
    }
    options: dict[str, dict[str, Any]] = {
        "timeseries": {
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "calcs": ["lastNotNull", "max"],
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "stat": {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "area",
            "textMode": "auto",
            "justifyMode": "auto",
            "orientation": "auto",
        },
        "bargauge": {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "displayMode": "basic",
            "orientation": "horizontal",
            "showUnfilled": True,
        },
        "table": {"showHeader": True},
    }
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": field, "overrides": []},
        "options": options[panel.kind],
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "instant": panel.kind == "table",
                "range": panel.kind != "table",
                **({"format": "table"} if panel.kind == "table" else {}),
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def dashboard(uid: str, title: str, panels: list[Panel]) -> dict[str, Any]:
    placed, x, y, row_height = [], 0, 0, 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > 24:
            x, y, row_height = 0, y + row_height, 0
        placed.append(panel_json(panel, number, x, y))
        x += panel.width
        row_height = max(row_height, panel.height)
    return {
        "uid": f"opsportal-{uid}",
        "title": f"opsportal: {title}",
        "tags": ["opsportal"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "annotations": {"list": []},
        "links": [
            {
                "title": "opsportal",
                "type": "dashboards",
                "tags": ["opsportal"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
            }
        ],
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                    "hide": 0,
                    "refresh": 1,
                    "options": [],
                }
            ]
        },
        "panels": placed,
    }


def files() -> dict[str, str]:
    return {
        f"{uid}.json": json.dumps(dashboard(uid, title, panels), indent=1) + "\n"
        for uid, (title, panels) in DASHBOARDS.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text)
