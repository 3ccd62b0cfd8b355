// The peer of the monitor: Kafka Streams doing the same with exactly_once_v2.
//
// raw-log -> parsed access lines -> JSON to <prefix>-forwarded, and tumbling windows of 10 s by the line's own time with
// requests, bytes and requests by status, kept by key (the host) as the records are partitioned: no repartitioning.
// Arguments: bootstrap servers, prefix (application id and topics), state directory, threads.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.Properties;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;

public final class AccessWindows {
    private static final Pattern LINE = Pattern.compile(
        "^(\\S+) (\\S+) (.+?) \\[(\\d{2}/[A-Z][a-z]{2}/\\d{4}:\\d{2}:\\d{2}:\\d{2} [+-]\\d{4})\\] "
            + "\"((?:[^\"\\\\]|\\\\.)*)\" (\\d{3}|-) (\\d+|-)(?: \"((?:[^\"\\\\]|\\\\.)*)\" \"((?:[^\"\\\\]|\\\\.)*)\")?");
    private static final DateTimeFormatter STAMP =
        DateTimeFormatter.ofPattern("dd/MMM/yyyy:HH:mm:ss Z", Locale.US);

    private AccessWindows() {}

    /** A parsed line; the raw record's place is added by the processor. */
    record Line(long ts, String client, String method, String path, String query, String protocol, int status,
                long bytes, String referer, String agent) {
        static Line of(byte[] body) {
            Matcher m = LINE.matcher(new String(body, StandardCharsets.UTF_8));
            if (!m.find()) {
                return null;
            }
            String[] request = m.group(5).split(" ", 3);
            String target = request.length > 1 ? request[1] : "";
            int mark = target.indexOf('?');
            return new Line(millis(m.group(4)), m.group(1), request[0], mark < 0 ? target : target.substring(0, mark),
                mark < 0 ? null : target.substring(mark + 1), request.length > 2 ? request[2] : null,
                m.group(6).equals("-") ? 0 : Integer.parseInt(m.group(6)),
                m.group(7).equals("-") ? 0 : Long.parseLong(m.group(7)), m.group(8), m.group(9));
        }

        private static String lastStamp;
        private static long lastMillis;

        private static synchronized long millis(String stamp) { // lines of one second share their stamp
            if (!stamp.equals(lastStamp)) {
                lastMillis = OffsetDateTime.parse(stamp, STAMP).toInstant().toEpochMilli();
                lastStamp = stamp;
            }
            return lastMillis;
        }

        byte[] json() {
            StringBuilder out = new StringBuilder(256).append("{\"ts\":").append(ts);
            text(out, "client", client);
            text(out, "method", method);
            text(out, "path", path);
            text(out, "query", query);
            text(out, "protocol", protocol);
            out.append(",\"status\":").append(status).append(",\"bytes\":").append(bytes);
            text(out, "referer", referer);
            text(out, "user_agent", agent);
            return out.append('}').toString().getBytes(StandardCharsets.UTF_8);
        }

        private static void text(StringBuilder out, String name, String value) {
            out.append(",\"").append(name).append("\":");
            if (value == null) {
                out.append("null");
            } else {
                out.append('"').append(value.replace("\\", "\\\\").replace("\"", "\\\"")).append('"');
            }
        }
    }

    /** Parses access lines and drops the rest; from here on a record's time is its line's. */
    static final class Parse implements FixedKeyProcessor<byte[], byte[], Line> {
        private FixedKeyProcessorContext<byte[], Line> context;

        @Override
        public void init(FixedKeyProcessorContext<byte[], Line> given) {
            context = given;
        }

        @Override
        public void process(FixedKeyRecord<byte[], byte[]> record) {
            Header type = record.headers().lastHeader("type");
            if (type == null || !"access_log".equals(new String(type.value(), StandardCharsets.UTF_8))) {
                return;
            }
            Line line = Line.of(record.value());
            if (line != null) {
                context.forward(record.withValue(line).withTimestamp(line.ts()));
            }
        }
    }

    /** requests, bytes, and requests by hundreds of status, as seven longs. */
    private static byte[] add(byte[] window, byte[] value) {
        java.nio.ByteBuffer sums = java.nio.ByteBuffer.wrap(window.clone());
        java.nio.ByteBuffer line = java.nio.ByteBuffer.wrap(value);
        int status = line.getInt();
        sums.putLong(0, sums.getLong(0) + 1).putLong(8, sums.getLong(8) + line.getLong());
        int slot = 16 + 8 * Math.min(4, Math.max(0, status / 100 - 1));
        return sums.putLong(slot, sums.getLong(slot) + 1).array();
    }

    private static byte[] counted(Line line) {
        return java.nio.ByteBuffer.allocate(12).putInt(line.status()).putLong(line.bytes()).array();
    }

    /** What both topologies are run with. */
    static void run(StreamsBuilder builder, String[] arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[2]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments[3]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        settings.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
        streams.start();
    }

    public static void main(String[] arguments) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<byte[], Line> lines = builder
            .stream("raw-log", Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
            .processValues(Parse::new);
        lines.mapValues(Line::json)
            .to(arguments[1] + "-forwarded", Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        lines.mapValues(AccessWindows::counted)
            .groupByKey(Grouped.with(Serdes.ByteArray(), Serdes.ByteArray()))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofHours(1)))
            .aggregate(() -> new byte[56], (key, value, window) -> add(window, value),
                Materialized.with(Serdes.ByteArray(), Serdes.ByteArray()));
        run(builder, arguments);
    }
}
