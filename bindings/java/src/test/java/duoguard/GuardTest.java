package duoguard;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import duoguard.GuardException.Status;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.Test;

public class GuardTest {
    static final String BUNDLE = "models/mini";
    private static final String BREAD = "How do I bake bread at home?";
    private static final String UNSAFE =
            "You people are disgusting and stupid, nobody wants you here, you filth.";

    private static Status statusOf(org.junit.function.ThrowingRunnable call) {
        return assertThrows(GuardException.class, call).status();
    }

    @Test
    public void errorsHaveTheStatusOfTheHeader() {
        assertEquals(Status.IO, statusOf(() -> Guard.open("no/such/bundle")));
        assertEquals(Status.INVALID_ARGUMENT, statusOf(() -> Guard.open("a\0b")));
        assertEquals(Status.INVALID_ARGUMENT, statusOf(() -> Guard.open(BUNDLE, "abacus", 0)));
        try (Guard guard = Guard.open(BUNDLE)) {
            assertEquals(Status.INVALID_ARGUMENT, statusOf(() -> guard.check("a".repeat(4194305))));
            assertEquals(Status.INVALID_ARGUMENT, statusOf(() -> guard.check("half \ud83c")));
            for (String category : List.of("noise", "hate")) {
                CheckOptions options = CheckOptions.DEFAULT.withThresholds(Map.of(category, 0f));
                assertEquals(Status.INVALID_ARGUMENT,
                        statusOf(() -> guard.check(BREAD, null, null, options)));
            }
        }
    }

    @Test
    public void aBundleWhoseKeyIsNamedHasToBeSigned() throws Exception {
        Path folder = Path.of(Objects.requireNonNull(System.getenv("DUOGUARD_SIGNED"), "DUOGUARD_SIGNED"));
        String key = Files.readString(folder.resolve("minisign.pub"));
        String other = Files.readString(folder.resolve("other.pub"));
        String signed = folder.resolve("signed").toString();
        try (Guard guard = Guard.open(signed, null, 0, key)) {
            assertTrue(guard.check(UNSAFE).flagged());
        }
        assertEquals(Status.INVALID_MODEL, statusOf(() -> Guard.open(signed, null, 0, other)));
        assertEquals(Status.INVALID_MODEL, statusOf(() -> Guard.open(BUNDLE, null, 0, key)));
        assertEquals(Status.INVALID_ARGUMENT, statusOf(() -> Guard.open(signed, null, 0, "no key")));
        assertEquals(Status.INVALID_ARGUMENT, statusOf(() -> Guard.open(signed, null, 0, "a\0b")));
    }

    @Test
    public void spansCountChars() {
        try (Guard guard = Guard.open(BUNDLE)) {
            String text = "🍞 ".repeat(200) + UNSAFE.repeat(8) + " 🍞".repeat(400);
            Verdict.Span span = guard.check("🥖", text, null, CheckOptions.DEFAULT).span();
            assertTrue(span.inResponse());
            assertTrue(text.substring(span.begin(), span.end()).contains("disgusting"));
        }
    }

    @Test
    public void sixteenThreadsUseOneGuard() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(16);
        try (Guard guard = Guard.open(BUNDLE)) {
            Verdict expected = guard.check(UNSAFE);
            assertTrue(expected.flagged());
            assertEquals("hate", expected.category().orElseThrow());
            List<Future<Verdict>> found = new ArrayList<>();
            for (int i = 0; i < 400; i++) {
                found.add(threads.submit(() -> guard.check(UNSAFE)));
            }
            for (Future<Verdict> verdict : found) {
                assertEquals(expected, verdict.get());
            }
        } finally {
            threads.shutdown();
        }
    }

    @Test
    public void streamsGiveLooksOnTheWay() {
        try (Guard guard = Guard.open(BUNDLE);
                Stream stream = guard.stream(null, null, 1, CheckOptions.DEFAULT)) {
            assertTrue(stream.push("You people are ").isPresent());
            assertTrue(stream.push("disgusting.").isPresent());
            assertEquals(guard.check("You people are disgusting."), stream.finish());
            assertEquals(Status.INVALID_ARGUMENT,
                    statusOf(() -> guard.stream(null, "mostly German", 0, CheckOptions.DEFAULT)));
        }
    }

    @Test
    public void aClosedStreamRefuses() {
        try (Guard guard = Guard.open(BUNDLE)) {
            Stream stream = guard.stream();
            stream.close();
            stream.close();
            assertEquals(Status.INVALID_ARGUMENT, statusOf(stream::finish));
        }
    }

    @Test
    public void aClosedGuardRefuses() {
        Guard guard = Guard.open(BUNDLE, "native", 2);
        assertEquals("native", guard.engine());
        assertFalse(guard.check(BREAD).flagged());
        guard.close();
        guard.close();
        assertEquals(Status.INVALID_ARGUMENT, statusOf(() -> guard.check(BREAD)));
    }
}
