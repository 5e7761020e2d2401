"""What Beat has done every day. Idempotent: a day's report is made once, a session removed once."""

import structlog

from service.celery import app
from service.reports import daily

logger = structlog.get_logger(__name__)


@app.task
def generate_daily_report() -> list[str]:
    """Reports yesterday, and the days that were missed while nobody ran the schedule; returns the days made."""
    made = [str(day) for day in daily.missing_days() if daily.generate(day)[1]]
    logger.info("daily_report_generated", days=made)
    return made


@app.task
def cleanup_expired_sessions() -> int:
    """Removes the sessions that have expired; returns how many."""
    removed = daily.remove_expired_sessions()
    logger.info("expired_sessions_removed", count=removed)
    return removed
