"""Cells of printed tables. Storage semantics §17."""

from datetime import datetime

from mooring.model.names import SHORT_MODES
from mooring.objects.kind import Doc, Printing


def name(doc: Doc, _: Printing) -> str:
    found: str = doc["metadata"]["name"]
    return found


def age(doc: Doc, printing: Printing) -> str:
    """Since creation, compact."""
    created = doc["metadata"].get("creationTimestamp")
    return duration(printing.now_s - seconds(created)) if created else "<unknown>"


def seconds(timestamp: str) -> float:
    """Since the epoch, of RFC 3339 text."""
    return datetime.fromisoformat(timestamp).timestamp()


def duration(length_s: float) -> str:
    """As Kubernetes writes it: 45s, 3m10s, 5h2m, 2d3h, 40d, 2y10d."""
    whole = int(length_s)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"


def modes(found: list[str] | None) -> str:
    """Abbreviated, each once, in a fixed order."""
    return ",".join(short for mode, short in SHORT_MODES.items() if mode in (found or ()))


def phase(doc: Doc, _: Printing) -> str:
    """Terminating while it is being deleted, else status.phase."""
    if "deletionTimestamp" in doc["metadata"]:
        return "Terminating"
    found: str = (doc.get("status") or {}).get("phase", "")
    return found
