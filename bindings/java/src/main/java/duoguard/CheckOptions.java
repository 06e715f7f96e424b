package duoguard;

import com.sun.jna.Memory;
import java.util.List;
import java.util.Map;

/**
 * How a text is checked.
 *
 * @param join how a prompt and its response become one text, or stay two
 * @param maxTokens score the first tokens, at most this many; 0: all
 * @param targetFpr take the thresholds at which the model flags at most this share of safe texts,
 *     in (0, 1); 0: the model's
 * @param literal score what is literally written, with its disguises on
 * @param thresholds by category, in (0, 1], in place of the model's
 */
public record CheckOptions(
        Join join, long maxTokens, float targetFpr, boolean literal, Map<String, Float> thresholds) {

    /** How a prompt and its response become one text. */
    public enum Join {
        /** The prompt, a space and the response. */
        SPACE,
        /** The prompt, a line break and the response. */
        NEWLINE,
        /** Scored one by one. */
        SEPARATE
    }

    /** What is checked without options. */
    public static final CheckOptions DEFAULT = new CheckOptions(Join.SPACE, 0, 0, false, Map.of());

    /** The same with the first tokens scored alone. */
    public CheckOptions withMaxTokens(long maxTokens) {
        return new CheckOptions(join, maxTokens, targetFpr, literal, thresholds);
    }

    /** The same with other thresholds. */
    public CheckOptions withThresholds(Map<String, Float> thresholds) {
        return new CheckOptions(join, maxTokens, targetFpr, literal, thresholds);
    }

    /** The same with texts joined in another way. */
    public CheckOptions withJoin(Join join) {
        return new CheckOptions(join, maxTokens, targetFpr, literal, thresholds);
    }

    /** The header's struct. */
    Library.Check struct(List<String> categories) {
        if (maxTokens < 0) {
            throw GuardException.argument(maxTokens + " tokens; expected 0 or more");
        }
        Library.Check check = new Library.Check();
        check.join = join.ordinal();
        check.max_tokens = maxTokens;
        check.target_fpr = targetFpr;
        check.literal = literal ? 1 : 0;
        if (!thresholds.isEmpty()) {
            float[] ordered = new float[categories.size()];
            thresholds.forEach((category, threshold) -> {
                int place = categories.indexOf(category);
                if (place < 0 || threshold == 0) {
                    throw GuardException.argument("a threshold of " + threshold + " for \"" + category
                            + "\"; expected more than 0 and at most 1, for one of "
                            + String.join(", ", categories));
                }
                ordered[place] = threshold;
            });
            Memory memory = new Memory(ordered.length * 4L);
            memory.write(0, ordered, 0, ordered.length);
            check.thresholds = memory;
            check.threshold_count = new Library.Size(ordered.length);
        }
        return check;
    }
}
