"""One static site out of many reports: for any host of files, or to be opened from the disk.

```
folders -> find_reports() -> Reports by suite -> leaderboards, compare pages, histories -> write_site() -> site/
```
"""

from fmbench.publish.reports import PublishedReport, find_reports
from fmbench.publish.site import write_site

__all__ = ("PublishedReport", "find_reports", "write_site")
