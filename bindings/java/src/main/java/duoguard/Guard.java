package duoguard;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.PointerByReference;
import java.lang.ref.Reference;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.Function;

/**
 * A model that is open. Any number of threads may use it at once: each check computes with a session
 * of its own, and sessions wait for the next check.
 *
 * <p>No verdict is not a safe verdict: a call that throws says nothing about the text.
 */
public final class Guard implements AutoCloseable {
    private final Pointer model;
    private final List<String> categories;
    private final String engine;
    private final int threads;
    private final ArrayDeque<Pointer> idle = new ArrayDeque<>();
    /** Read by calls, written by close. */
    private final ReentrantReadWriteLock open = new ReentrantReadWriteLock();
    private boolean closed;

    private Guard(Pointer model, String engine, int threads) {
        this.model = model;
        this.engine = engine;
        this.threads = threads;
        List<String> names = new ArrayList<>();
        long count = Library.duoguard_model_category_count(model).longValue();
        for (long place = 0; place < count; place++) {
            Pointer name = Library.duoguard_model_category_name(model, new Library.Size(place));
            names.add(name.getString(0, "UTF-8"));
        }
        categories = List.copyOf(names);
    }

    /** Opens the bundle in a folder, on the first engine that is available. */
    public static Guard open(String path) {
        return open(path, null, 0);
    }

    /**
     * Opens the bundle in a folder.
     *
     * @param engine the engine's name; null: the first that is available
     * @param threads that one check may use; 0: one
     */
    public static Guard open(String path, String engine, int threads) {
        return open(path, engine, threads, null);
    }

    /**
     * Opens the bundle in a folder, if it is signed.
     *
     * @param engine the engine's name; null: the first that is available
     * @param threads that one check may use; 0: one
     * @param publicKey the text of a minisign.pub: the bundle must have its signature, and be as it
     *     was signed; null: none is asked for
     */
    public static Guard open(String path, String engine, int threads, String publicKey) {
        byte[] error = new byte[Library.MESSAGE_SIZE];
        PointerByReference out = new PointerByReference();
        byte[] name = Text.terminated("the path", path);
        Library.ModelOptions options = new Library.ModelOptions();
        options.public_key = Text.name("the public key", publicKey);
        int status = Library.duoguard_model_open_with(name, options, out, error);
        Reference.reachabilityFence(options);
        GuardException.require(status, error);
        Guard guard = new Guard(out.getValue(), engine, threads);
        try {
            guard.engine();
        } catch (RuntimeException failure) {
            guard.close();
            throw failure;
        }
        return guard;
    }

    /** The names of the categories, in the order of scores. */
    public List<String> categories() {
        return categories;
    }

    /** What computes, as the automatic choice chose it. */
    public String engine() {
        return with(Library::duoguard_session_engine);
    }

    /** Checks a prompt. */
    public Verdict check(String prompt) {
        return check(prompt, null, null, CheckOptions.DEFAULT);
    }

    /**
     * Checks a prompt, or a response to it.
     *
     * @param response null: none
     * @param language a tag such as "en" or "pt-BR"; null: identified from the text
     */
    public Verdict check(String prompt, String response, String language, CheckOptions options) {
        byte[] question = Text.utf8("the prompt", prompt);
        byte[] answer = response == null ? null : Text.utf8("the response", response);
        Memory questionMemory = Text.memory(question);
        Library.Input input = new Library.Input();
        input.prompt = questionMemory;
        input.prompt_size = new Library.Size(question.length);
        if (answer != null) {
            input.response = Text.memory(answer);
            input.response_size = new Library.Size(answer.length);
        }
        input.language = Text.name("the language", language);
        Library.Check check = options.struct(categories);
        return with(session -> {
            float[] scores = new float[categories.size()];
            Library.Found found = new Library.Found();
            byte[] error = new byte[Library.MESSAGE_SIZE];
            int status = Library.duoguard_session_check(
                    session, input, check, scores, new Library.Size(scores.length), found, error);
            // Their memory is freed with them, which the collector must not do before.
            Reference.reachabilityFence(input);
            Reference.reachabilityFence(check);
            GuardException.require(status, error);
            return Verdict.of(found, scores, categories, question, answer);
        });
    }

    /**
     * Begins a text that comes piece by piece.
     *
     * @param prompt what the streamed response answers; null: the stream is itself a prompt
     * @param language as in check
     * @param debounceBytes of new text after which a push draws a verdict; 0: 256
     */
    public Stream stream(String prompt, String language, int debounceBytes, CheckOptions options) {
        return new Stream(this, prompt, language, debounceBytes, options);
    }

    /** Begins a prompt that comes piece by piece. */
    public Stream stream() {
        return stream(null, null, 0, CheckOptions.DEFAULT);
    }

    /** Works with a session that no other call has. */
    <T> T with(Function<Pointer, T> work) {
        open.readLock().lock();
        try {
            if (closed) {
                throw GuardException.argument("the guard is closed");
            }
            Pointer session;
            synchronized (idle) {
                session = idle.poll();
            }
            if (session == null) {
                session = newSession();
            }
            boolean whole = true;
            try {
                return work.apply(session);
            } catch (GuardException failure) {
                whole = failure.status() != GuardException.Status.PANIC;
                throw failure;
            } finally {
                if (whole) {
                    synchronized (idle) {
                        idle.push(session);
                    }
                } else {
                    Library.duoguard_session_free(session);
                }
            }
        } finally {
            open.readLock().unlock();
        }
    }

    private Pointer newSession() {
        Library.Options options = new Library.Options();
        options.threads = threads;
        options.engine = Text.name("the engine", engine);
        PointerByReference out = new PointerByReference();
        byte[] error = new byte[Library.MESSAGE_SIZE];
        int status = Library.duoguard_session_new(model, options, out, error);
        Reference.reachabilityFence(options);
        GuardException.require(status, error);
        return out.getValue();
    }

    /** Waits for the calls at work, and frees the model. Closing twice does nothing. */
    @Override
    public void close() {
        open.writeLock().lock();
        try {
            if (closed) {
                return;
            }
            closed = true;
            idle.forEach(Library::duoguard_session_free);
            idle.clear();
            Library.duoguard_model_free(model);
        } finally {
            open.writeLock().unlock();
        }
    }
}
