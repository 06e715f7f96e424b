package duoguard;

import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import com.sun.jna.Structure.FieldOrder;
import com.sun.jna.ptr.IntByReference;
import com.sun.jna.ptr.PointerByReference;

/** What {@code include/duoguard.h} declares, of what is used here; its names are the header's. */
final class Library {
    private static final int ABI_VERSION = 1;
    static final int MESSAGE_SIZE = 1024;

    static {
        Native.register(Library.class, "duoguard");
        if (duoguard_abi_version() != ABI_VERSION) {
            throw new UnsatisfiedLinkError(
                    "libduoguard has ABI version " + duoguard_abi_version() + "; expected " + ABI_VERSION);
        }
    }

    private Library() {}

    /** {@code size_t}. */
    public static final class Size extends com.sun.jna.IntegerType {
        private static final long serialVersionUID = 1;

        public Size() {
            this(0);
        }

        public Size(long value) {
            super(Native.SIZE_T_SIZE, value, true);
        }
    }

    @FieldOrder({"struct_size", "reserved", "public_key"})
    public static final class ModelOptions extends Structure {
        public int struct_size;
        public int reserved;
        public Pointer public_key;

        {
            struct_size = size();
        }
    }

    @FieldOrder({"struct_size", "threads", "engine"})
    public static final class Options extends Structure {
        public int struct_size;
        public int threads;
        public Pointer engine;

        {
            struct_size = size();
        }
    }

    @FieldOrder({
        "struct_size", "reserved", "prompt", "prompt_size", "response", "response_size", "language"
    })
    public static final class Input extends Structure {
        public int struct_size;
        public int reserved;
        public Pointer prompt;
        public Size prompt_size = new Size();
        public Pointer response;
        public Size response_size = new Size();
        public Pointer language;

        {
            struct_size = size();
        }
    }

    @FieldOrder({
        "struct_size", "join", "max_tokens", "target_fpr", "literal", "thresholds", "threshold_count"
    })
    public static final class Check extends Structure {
        public int struct_size;
        public int join;
        public long max_tokens;
        public float target_fpr;
        public int literal;
        public Pointer thresholds;
        public Size threshold_count = new Size();

        {
            struct_size = size();
        }
    }

    @FieldOrder({
        "struct_size", "cache", "prompt", "prompt_size", "language", "check", "debounce_bytes"
    })
    public static final class Streaming extends Structure {
        public int struct_size;
        public int cache;
        public Pointer prompt;
        public Size prompt_size = new Size();
        public Pointer language;
        public Pointer check;
        public Size debounce_bytes = new Size();

        {
            struct_size = size();
        }
    }

    @FieldOrder({
        "struct_size", "flagged", "top_category", "top_score", "tokens", "tokens_scored", "windows",
        "language", "span_in_response", "span_begin", "span_end", "coverage_partial", "reserved"
    })
    public static final class Found extends Structure {
        public int struct_size;
        public int flagged;
        public int top_category;
        public float top_score;
        public long tokens;
        public long tokens_scored;
        public int windows;
        public byte[] language = new byte[40];
        public int span_in_response;
        public long span_begin;
        public long span_end;
        public int coverage_partial;
        public int reserved;

        {
            struct_size = size();
        }
    }

    static native int duoguard_abi_version();

    static native String duoguard_version();

    static native String duoguard_status_name(int status);

    static native int duoguard_model_open_with(
            byte[] path, ModelOptions options, PointerByReference out, byte[] error);

    static native void duoguard_model_free(Pointer model);

    static native Size duoguard_model_category_count(Pointer model);

    static native Pointer duoguard_model_category_name(Pointer model, Size index);

    static native int duoguard_session_new(
            Pointer model, Options options, PointerByReference out, byte[] error);

    static native void duoguard_session_free(Pointer session);

    static native String duoguard_session_engine(Pointer session);

    static native int duoguard_session_check(
            Pointer session,
            Input input,
            Check options,
            float[] scores,
            Size count,
            Found found,
            byte[] error);

    static native int duoguard_stream_new(
            Pointer session, Streaming options, PointerByReference out, byte[] error);

    static native int duoguard_stream_push(
            Pointer stream,
            Pointer session,
            byte[] piece,
            Size size,
            IntByReference judged,
            float[] scores,
            Size count,
            Found found,
            byte[] error);

    static native int duoguard_stream_finish(
            Pointer stream, Pointer session, float[] scores, Size count, Found found, byte[] error);

    static native void duoguard_stream_free(Pointer stream);
}
