struct ThriftFlumeEvent {
  1: required map<string, string> headers,
  2: required binary body,
}

enum Status { OK = 0, FAILED = 1, ERROR = 2, UNKNOWN = 3 }

service ThriftSourceProtocol {
  Status append(1: ThriftFlumeEvent event),
  Status appendBatch(1: list<ThriftFlumeEvent> events),
}
