"""The report of evaluations: result JSON in, a self-contained HTML page and PNGs out (extra `report`)."""

from uec_retriever.evaluation.report_page.page import ReportFiles, write_report
from uec_retriever.evaluation.report_page.result_files import check_result, read_results
from uec_retriever.evaluation.report_page.results import Result

__all__ = ["ReportFiles", "Result", "check_result", "read_results", "write_report"]
