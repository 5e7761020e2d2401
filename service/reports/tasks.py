"""Daily tasks. Both are idempotent: a report is stored once, a session is removed once."""

import structlog

from service.celery import app
from service.reports import daily

logger = structlog.get_logger(__name__)


@app.task(ignore_result=True)
def generate_daily_report() -> None:
    """Generates yesterday's report, and earlier ones that were missed."""
    days = [str(day) for day in daily.missing_days() if daily.generate(day)[1]]
    logger.info("daily_report_generated", days=days)


@app.task(ignore_result=True)
def cleanup_expired_sessions() -> None:
    logger.info("expired_sessions_removed", count=daily.remove_expired_sessions())
