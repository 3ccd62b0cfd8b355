"""The real Kafka, HDFS and Tomcat of the tests, fetched with Maven and run as child processes; std lib only."""
