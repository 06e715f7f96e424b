package duoguard;

import com.sun.jna.Native;

/** A call that failed. A text whose check failed was not checked: do not take it for safe. */
public final class GuardException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** Why a call failed, as the C header tells it. */
    public enum Status {
        /** A value or text that the call cannot take. */
        INVALID_ARGUMENT,
        /** A file could not be opened or read. */
        IO,
        /** The bundle is damaged, or contradicts itself. */
        INVALID_MODEL,
        /** This library or machine lacks what was asked for. */
        UNSUPPORTED,
        /** The engine failed. */
        ENGINE,
        /** The system refused the memory for a model's weights. */
        OUT_OF_MEMORY,
        /** A defect in the library. */
        PANIC,
        /** A status that is newer than this class. */
        UNKNOWN
    }

    private final Status status;

    GuardException(Status status, String message) {
        super(message);
        this.status = status;
    }

    /** Why the call failed. */
    public Status status() {
        return status;
    }

    /** Throws what a status other than DUOGUARD_OK says. */
    static void require(int status, byte[] message) {
        if (status == 0) {
            return;
        }
        Status[] known = Status.values();
        boolean isKnown = status > 0 && status < known.length;
        throw new GuardException(
                isKnown ? known[status - 1] : Status.UNKNOWN, Native.toString(message, "UTF-8"));
    }

    static GuardException argument(String message) {
        return new GuardException(Status.INVALID_ARGUMENT, message);
    }
}
