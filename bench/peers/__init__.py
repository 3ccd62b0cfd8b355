"""The programs that Sluice is compared with, started as their documentation says and tuned no worse than shipped."""
