package duoguard;

import com.sun.jna.Native;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What the model says about one text.
 *
 * @param flagged whether a category's score exceeds its threshold
 * @param category the category that exceeds its threshold by most
 * @param score the largest score of any category, a probability in [0, 1]
 * @param scores of every category, in the model's order
 * @param language whose thresholds applied; "und": not identified
 * @param tokens in the text
 * @param tokensScored those of them that at least one window covered
 * @param windows that the text was scored in; 0 for empty text, which is safe
 * @param span where the window that scored highest lies
 * @param partial whether maxTokens left some of the text unscored
 */
public record Verdict(
        boolean flagged,
        Optional<String> category,
        float score,
        Map<String, Float> scores,
        String language,
        long tokens,
        long tokensScored,
        int windows,
        Span span,
        boolean partial) {

    /**
     * A part of the prompt or of the response: {@code text.substring(begin, end)}.
     *
     * @param inResponse whether it is of the response
     * @param begin its first char
     * @param end the char after its last
     */
    public record Span(boolean inResponse, int begin, int end) {}

    /** The verdict in the header's struct, on these texts. */
    static Verdict of(
            Library.Found found, float[] scores, List<String> categories, byte[] prompt, byte[] response) {
        Map<String, Float> named = new LinkedHashMap<>();
        for (int place = 0; place < scores.length; place++) {
            named.put(categories.get(place), scores[place]);
        }
        boolean inResponse = found.span_in_response != 0;
        byte[] within = inResponse ? response : prompt;
        int begin = chars(within, 0, found.span_begin);
        return new Verdict(
                found.flagged != 0,
                found.top_category < 0 ? Optional.empty() : Optional.of(categories.get(found.top_category)),
                found.top_score,
                Collections.unmodifiableMap(named),
                Native.toString(found.language, "UTF-8"),
                found.tokens,
                found.tokens_scored,
                found.windows,
                new Span(inResponse, begin, begin + chars(within, found.span_begin, found.span_end)),
                found.coverage_partial != 0);
    }

    private static int chars(byte[] text, long begin, long end) {
        return new String(text, (int) begin, (int) (end - begin), StandardCharsets.UTF_8).length();
    }
}
