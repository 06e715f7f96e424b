package duoguard;

import com.sun.jna.Memory;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Texts as C reads them. */
final class Text {
    private static final Memory EMPTY = new Memory(1);

    private Text() {}

    /** The text in UTF-8. Half of a surrogate pair is an error: it stands for no character. */
    static byte[] utf8(String what, String text) {
        try {
            ByteBuffer bytes = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text));
            byte[] copy = new byte[bytes.remaining()];
            bytes.get(copy);
            return copy;
        } catch (CharacterCodingException cause) {
            throw GuardException.argument(what + " has half of a surrogate pair in it; replace what is"
                    + " no character first");
        }
    }

    /** The bytes in C's memory, which is there as long as the object; not NULL for empty text. */
    static Memory memory(byte[] bytes) {
        if (bytes.length == 0) {
            return EMPTY;
        }
        Memory memory = new Memory(bytes.length);
        memory.write(0, bytes, 0, bytes.length);
        return memory;
    }

    /** A name that ends in NUL; null for null. */
    static Memory name(String what, String name) {
        return name == null ? null : memory(terminated(what, name));
    }

    static byte[] terminated(String what, String name) {
        if (name.indexOf('\0') >= 0) {
            throw GuardException.argument(what + " has a NUL in it");
        }
        return utf8(what, name + "\0");
    }
}
