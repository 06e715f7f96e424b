package duoguard;

import com.sun.jna.Pointer;
import com.sun.jna.ptr.IntByReference;
import com.sun.jna.ptr.PointerByReference;
import java.io.ByteArrayOutputStream;
import java.lang.ref.Reference;
import java.util.Optional;

/**
 * A text that is checked while it is still being written. One thread at a time may use it. It may be
 * closed after its guard.
 */
public final class Stream implements AutoCloseable {
    private final Guard guard;
    private final byte[] prompt;
    /** What was pushed, for the places of spans. */
    private final ByteArrayOutputStream text = new ByteArrayOutputStream();
    private Pointer stream;

    Stream(Guard guard, String prompt, String language, int debounceBytes, CheckOptions options) {
        if (debounceBytes < 0) {
            throw GuardException.argument(debounceBytes + " bytes between verdicts; expected 0 or more");
        }
        this.guard = guard;
        this.prompt = prompt == null ? null : Text.utf8("the prompt", prompt);
        Library.Streaming settings = new Library.Streaming();
        if (this.prompt != null) {
            settings.prompt = Text.memory(this.prompt);
            settings.prompt_size = new Library.Size(this.prompt.length);
        }
        settings.language = Text.name("the language", language);
        settings.debounce_bytes = new Library.Size(debounceBytes);
        Library.Check check = options.struct(guard.categories());
        check.write();
        settings.check = check.getPointer();
        stream = guard.with(session -> {
            PointerByReference out = new PointerByReference();
            byte[] error = new byte[Library.MESSAGE_SIZE];
            int status = Library.duoguard_stream_new(session, settings, out, error);
            Reference.reachabilityFence(settings);
            Reference.reachabilityFence(check);
            GuardException.require(status, error);
            return out.getValue();
        });
    }

    /** Takes the next piece, and gives a verdict on the text so far if enough of it is new. */
    public Optional<Verdict> push(String piece) {
        return push(Text.utf8("the piece", piece));
    }

    /** Takes the next bytes of UTF-8, which may end inside a character. */
    public Optional<Verdict> push(byte[] piece) {
        Pointer open = open();
        return guard.with(session -> {
            float[] scores = new float[guard.categories().size()];
            Library.Found found = new Library.Found();
            IntByReference judged = new IntByReference();
            byte[] error = new byte[Library.MESSAGE_SIZE];
            int status = Library.duoguard_stream_push(
                    open, session, piece, new Library.Size(piece.length), judged, scores,
                    new Library.Size(scores.length), found, error);
            GuardException.require(status, error);
            text.writeBytes(piece);
            return judged.getValue() == 0 ? Optional.empty() : Optional.of(verdict(found, scores));
        });
    }

    /** The verdict on the whole text: exactly that of a check. More may be pushed afterwards. */
    public Verdict finish() {
        Pointer open = open();
        return guard.with(session -> {
            float[] scores = new float[guard.categories().size()];
            Library.Found found = new Library.Found();
            byte[] error = new byte[Library.MESSAGE_SIZE];
            int status = Library.duoguard_stream_finish(
                    open, session, scores, new Library.Size(scores.length), found, error);
            GuardException.require(status, error);
            return verdict(found, scores);
        });
    }

    /** Frees the stream; closing twice does nothing. */
    @Override
    public void close() {
        Library.duoguard_stream_free(stream);
        stream = null;
    }

    private Pointer open() {
        if (stream == null) {
            throw GuardException.argument("the stream is closed");
        }
        return stream;
    }

    private Verdict verdict(Library.Found found, float[] scores) {
        byte[] streamed = text.toByteArray();
        return prompt == null
                ? Verdict.of(found, scores, guard.categories(), streamed, null)
                : Verdict.of(found, scores, guard.categories(), prompt, streamed);
    }
}
