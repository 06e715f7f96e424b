package duoguard;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.junit.Test;

/**
 * The shared cases: what Java is told is what the C library says, to the last bit. bindings/cases.py
 * writes them, and DUOGUARD_CASES names the file; scripts/bindings.sh does both.
 */
public class CasesTest {
    @Test
    public void javaSaysWhatCSays() throws Exception {
        String path = Objects.requireNonNull(System.getenv("DUOGUARD_CASES"), "DUOGUARD_CASES");
        List<String> lines = Files.readAllLines(Path.of(path));
        assertTrue(lines.size() / 2 + " cases", lines.size() >= 60);
        try (Guard guard = Guard.open(GuardTest.BUNDLE)) {
            for (int at = 0; at < lines.size(); at += 2) {
                compare(guard, pairs(lines.get(at)), pairs(lines.get(at + 1)));
            }
        }
    }

    private static Map<String, String> pairs(String line) {
        Map<String, String> found = new TreeMap<>();
        for (String pair : line.split("\t")) {
            String[] parts = pair.split("=", 2);
            found.put(parts[0], parts[1]);
        }
        return found;
    }

    private static String text(String digits) {
        if (digits == null) {
            return null;
        }
        return new String(HexFormat.of().parseHex(digits), StandardCharsets.UTF_8);
    }

    private static float number(String digits) {
        return Float.intBitsToFloat(Integer.parseUnsignedInt(digits, 16));
    }

    private static void compare(Guard guard, Map<String, String> given, Map<String, String> expected) {
        // What checks.c says of itself.
        expected.remove("stream_agrees");
        expected.remove("reserved");
        String name = text(given.get("name"));
        String prompt = Optional.ofNullable(text(given.get("prompt"))).orElse("");
        String response = text(given.get("response"));
        String language = text(given.get("language"));
        CheckOptions options = new CheckOptions(
                CheckOptions.Join.values()[Integer.parseInt(given.getOrDefault("join", "0"))],
                Long.parseLong(given.getOrDefault("max_tokens", "0")),
                number(given.getOrDefault("target_fpr", "0")),
                given.containsKey("literal"),
                thresholds(guard, given.get("thresholds")));
        assertEquals(name, expected,
                said(guard, prompt, response, () -> guard.check(prompt, response, language, options)));
        if (!expected.get("status").equals("DUOGUARD_OK")) {
            return;
        }
        try (Stream stream = guard.stream(
                response == null ? null : prompt, language, Integer.MAX_VALUE, options)) {
            assertEquals(name, Optional.empty(), stream.push(response == null ? prompt : response));
            assertEquals(name + ", as a stream", expected, said(guard, prompt, response, stream::finish));
        }
    }

    private static Map<String, Float> thresholds(Guard guard, String given) {
        Map<String, Float> thresholds = new HashMap<>();
        if (given != null) {
            String[] digits = given.split(",");
            for (int place = 0; place < digits.length; place++) {
                if (!digits[place].equals("0")) {
                    thresholds.put(guard.categories().get(place), number(digits[place]));
                }
            }
        }
        return thresholds;
    }

    /** What comes out, in the form of the file. */
    private static Map<String, String> said(
            Guard guard, String prompt, String response, Supplier<Verdict> call) {
        Map<String, String> said = new TreeMap<>();
        try {
            Verdict verdict = call.get();
            Verdict.Span span = verdict.span();
            String within = span.inResponse() ? response : prompt;
            said.put("status", "DUOGUARD_OK");
            said.put("flagged", verdict.flagged() ? "1" : "0");
            said.put("top_category",
                    "" + verdict.category().map(guard.categories()::indexOf).orElse(-1));
            said.put("top_score", Integer.toUnsignedString(Float.floatToRawIntBits(verdict.score())));
            said.put("tokens", "" + verdict.tokens());
            said.put("tokens_scored", "" + verdict.tokensScored());
            said.put("windows", "" + verdict.windows());
            said.put("language", verdict.language());
            said.put("span_in_response", span.inResponse() ? "1" : "0");
            said.put("span_begin", "" + bytes(within.substring(0, span.begin())));
            said.put("span_end", "" + bytes(within.substring(0, span.end())));
            said.put("coverage_partial", verdict.partial() ? "1" : "0");
            said.put("scores", verdict.scores().values().stream()
                    .map(score -> Integer.toUnsignedString(Float.floatToRawIntBits(score)))
                    .collect(Collectors.joining(",")));
        } catch (GuardException failure) {
            said.put("status", "DUOGUARD_" + failure.status());
            said.put("message", HexFormat.of()
                    .formatHex(failure.getMessage().getBytes(StandardCharsets.UTF_8)));
        }
        return said;
    }

    private static int bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8).length;
    }
}
