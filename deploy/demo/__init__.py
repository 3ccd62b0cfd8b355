"""`make demo`: a realistic Tomcat, for a running Sluice to have something to show."""
