// The peer of a business log: Kafka Streams doing the same with exactly_once_v2.
//
// raw-log -> parsed JSON -> JSON of the route's fields to <prefix>-forwarded, and windows of 10 s by the line's own time
// with count, sum, largest value and a histogram of the amount, by status, kept for each partition: no repartitioning.
// Arguments as those of AccessWindows.

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Set;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorSupplier;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

public final class OrderWindows {
    private static final String STORE = "orders";
    private static final Duration WINDOW = Duration.ofSeconds(10);
    private static final int BUCKETS = 128; // each 10 % wider than the one before

    private OrderWindows() {}

    static final class Count implements FixedKeyProcessor<byte[], byte[], byte[]> {
        private final ObjectMapper mapper = new ObjectMapper();
        private FixedKeyProcessorContext<byte[], byte[]> context;
        private WindowStore<byte[], byte[]> windows;

        @Override
        public void init(FixedKeyProcessorContext<byte[], byte[]> given) {
            context = given;
            windows = given.getStateStore(STORE);
        }

        @Override
        public void process(FixedKeyRecord<byte[], byte[]> record) {
            Header logger = record.headers().lastHeader("logger");
            if (logger == null || !"orders".equals(new String(logger.value(), StandardCharsets.UTF_8))) {
                return;
            }
            try {
                JsonNode line = mapper.readTree(record.value());
                long ts = line.get("ts").asLong();
                String status = line.get("status").asText();
                double amount = line.get("amount").asDouble();
                ObjectNode kept = mapper.createObjectNode().put("ts", ts);
                kept.put("order_id", line.get("order_id").asText()).put("status", status).put("amount", amount);
                byte[] key = status.getBytes(StandardCharsets.UTF_8);
                long start = ts - ts % WINDOW.toMillis();
                windows.put(key, add(windows.fetch(key, start), amount), start);
                context.forward(record.withValue(mapper.writeValueAsBytes(kept)).withTimestamp(ts));
            } catch (JsonProcessingException bad) {
                return;
            } catch (IOException failed) {
                throw new java.io.UncheckedIOException(failed);
            }
        }

        private static byte[] add(byte[] window, double amount) {
            ByteBuffer sums = ByteBuffer.wrap(window == null ? new byte[24 + 4 * BUCKETS] : window.clone());
            sums.putLong(0, sums.getLong(0) + 1).putDouble(8, sums.getDouble(8) + amount);
            sums.putDouble(16, Math.max(sums.getDouble(16), amount));
            int bucket = Math.max(0, Math.min(BUCKETS - 1, (int) (Math.log(Math.max(amount, 1)) / Math.log(1.1))));
            return sums.putInt(24 + 4 * bucket, sums.getInt(24 + 4 * bucket) + 1).array();
        }
    }

    /** Brings the processor and its store. */
    static final class Counting implements FixedKeyProcessorSupplier<byte[], byte[], byte[]> {
        @Override
        public FixedKeyProcessor<byte[], byte[], byte[]> get() {
            return new Count();
        }

        @Override
        public Set<StoreBuilder<?>> stores() {
            return Set.of(Stores.windowStoreBuilder(
                Stores.persistentWindowStore(STORE, Duration.ofHours(1), WINDOW, false),
                Serdes.ByteArray(), Serdes.ByteArray()).withCachingEnabled());
        }
    }

    public static void main(String[] arguments) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream("raw-log", Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
            .processValues(new Counting())
            .to(arguments[1] + "-forwarded", Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        AccessWindows.run(builder, arguments);
    }
}
