/* duoguard.h: is this prompt, or this response to that prompt, unsafe?
 *
 * A guardrail for LLM apps that runs inside the app: on the device, offline, in milliseconds, in
 * many languages. Open a model, make a session, check texts:
 *
 *     #include <duoguard.h>
 *     #include <stdio.h>
 *     #include <string.h>
 *
 *     int main(void) {
 *         duoguard_model *model = NULL;
 *         duoguard_session *session = NULL;
 *         duoguard_input input = DUOGUARD_INPUT_INIT;
 *         duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
 *         duoguard_error error;
 *         input.prompt = "How do I bake bread at home?";
 *         input.prompt_size = strlen(input.prompt);
 *         duoguard_status status = duoguard_model_open("models/mini", &model, &error);
 *         if (status == DUOGUARD_OK)
 *             status = duoguard_session_new(model, NULL, &session, &error);
 *         if (status == DUOGUARD_OK)
 *             status = duoguard_session_check(session, &input, NULL, NULL, 0, &verdict, &error);
 *         if (status != DUOGUARD_OK)
 *             fprintf(stderr, "not checked: %s\n", error.message);
 *         else if (verdict.flagged)
 *             printf("unsafe: %s\n", duoguard_model_category_name(model, verdict.top_category));
 *         else
 *             printf("safe: %.3f\n", verdict.top_score);
 *         duoguard_session_free(session);
 *         duoguard_model_free(model);
 *         return status == DUOGUARD_OK && !verdict.flagged ? 0 : 1;
 *     }
 *
 * NO VERDICT IS NOT A SAFE VERDICT. A call that fails says nothing about the text. Decide what your
 * app does with text that was not checked; if you must choose, treat it as unsafe. A verdict, too,
 * is a statistical guess: it can be wrong both ways.
 *
 * Rules that hold everywhere
 *
 * Errors     A call that can fail returns a duoguard_status, and DUOGUARD_OK is 0. On failure it
 *            also writes a message into `error`, unless that is NULL: what was expected, what was
 *            found, what to do. The message is for people; programs go by the status. On success
 *            `error` is left as it was.
 * Outputs    are written only on success. After a failure they hold what they held before.
 * Threads    A `const` pointer to an object may be used by any number of threads at once. One that
 *            is not `const` is exclusive: no other thread may use the object during the call.
 *            Objects may move between threads, and may be freed by another than their maker.
 * Text       is a pointer and a size in bytes, in UTF-8. It needs no NUL at its end, and a NUL
 *            inside is a character like others. NULL with size 0 is empty text. Text is read
 *            during the call and is not kept.
 * Names      (`const char *` without a size) end in NUL. A name that the library returns is the
 *            library's: do not free it.
 * Languages  are BCP-47 tags (RFC 5646) that end in NUL, such as "en", "pt-BR" or "zh-Hant", of at
 *            most 35 characters. They are read as systems write them, too: `_` stands for `-`, as
 *            in "pt_BR"; extensions and private use (`-u-...`, `-x-...`), as in
 *            "de-DE-u-co-phonebk", are cut off; and letters may have any case.
 * Memory     What the library makes, the library frees, through the `_free` function of its type,
 *            which does nothing with NULL. Objects may be freed in any order, each once.
 * Structs    whose first field is `struct_size` can grow. Set that field to `sizeof` the struct, as
 *            the _INIT macros do; zeros are the defaults of all other fields that you set. The
 *            library never touches a byte beyond `struct_size`. An older program, whose struct is
 *            smaller, gets the behaviour it was written for. A newer program, whose struct is
 *            larger than this library knows, gets zeros in the fields that are unknown here, and
 *            an error if it sets one. Do not pass these structs by value across your own library
 *            boundaries. Fields named `reserved` are 0.
 * Panics     A defect in the library that makes its Rust code panic ends as DUOGUARD_PANIC, not in
 *            your program's stack; where a function has no status, its answer is then NULL or 0.
 *            Rust also writes the panic to stderr. This cannot help when the system refuses memory
 *            for small allocations, or when the stack overflows: then the process ends.
 * Processes  After fork(), the child must not use objects that were made before it: their threads
 *            do not exist there.
 * Unloading  Engines keep threads and caches as long as the process lives: do not unload the
 *            library (dlclose, FreeLibrary).
 *
 * There is no global state to set up, nothing is sent over a network, and apart from panics nothing
 * is written to stdout or stderr.
 *
 * Licence: Apache-2.0. */
#ifndef DUOGUARD_H
#define DUOGUARD_H

#include <stddef.h>
#include <stdint.h>

/* Windows: define DUOGUARD_STATIC when you link the static library. */
#if defined(_WIN32) && !defined(DUOGUARD_STATIC)
#define DUOGUARD_API __declspec(dllimport)
#else
#define DUOGUARD_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version --------------------------------------------------------------------------------- */
/* The version of the binary interface that this header describes. It changes when a program
 * compiled against an older header could no longer work, and is part of the shared library's name:
 * libduoguard.so.1. Additions do not change it. */
#define DUOGUARD_ABI_VERSION 1

/* The ABI version of the library that is linked. Compare it with DUOGUARD_ABI_VERSION if you load
 * the library yourself. Any thread; cannot fail. */
DUOGUARD_API uint32_t duoguard_abi_version(void);

/* The release of the library that is linked, such as "0.1.0"; static. Any thread; cannot fail. */
DUOGUARD_API const char *duoguard_version(void);

/* ---- Status and error ------------------------------------------------------------------------ */
/* How a call ended. Later releases may add values: treat one that you do not know as a failure. */
typedef int32_t duoguard_status;
enum {
    DUOGUARD_OK = 0,
    DUOGUARD_INVALID_ARGUMENT = 1, /* a NULL, size, name, value or text that the call cannot take */
    DUOGUARD_IO = 2,               /* a file could not be opened or read */
    DUOGUARD_INVALID_MODEL = 3,    /* the bundle is damaged, or contradicts itself */
    DUOGUARD_UNSUPPORTED = 4,      /* this library or machine lacks what was asked for */
    DUOGUARD_ENGINE = 5,           /* the engine failed while it loaded or ran the network */
    DUOGUARD_OUT_OF_MEMORY = 6,    /* the system refused the memory for a model's weights */
    DUOGUARD_PANIC = 7             /* a defect in the library; what was in use can only be freed */
};

/* The status as a word: "DUOGUARD_IO" for DUOGUARD_IO. The string is static; for a value that is
 * none of the above it is "unknown status", never NULL. Any thread; cannot fail. */
DUOGUARD_API const char *duoguard_status_name(duoguard_status status);

/* The size of a message, its NUL included, in bytes. */
#define DUOGUARD_MESSAGE_SIZE 1024
/* Why a call failed, in UTF-8, always ended by NUL. A longer message is cut in its middle, where it
 * then says " [...] ". The caller's; it needs no initialisation, and there is nothing to free. */
typedef struct duoguard_error {
    char message[DUOGUARD_MESSAGE_SIZE];
} duoguard_error;

/* ---- Engines: what computes ------------------------------------------------------------------ */
/* How many engines this build knows: the embedded engine and, as a rule, others, which look for a
 * library of their own when they are first asked for. "onnxruntime" looks for ONNX Runtime's where
 * the environment variable ORT_DYLIB_PATH says, next to the executable, or in the system's folders.
 * Any thread; cannot fail. */
DUOGUARD_API size_t duoguard_engine_count(void);

/* The name of an engine, in the order in which the automatic choice tries them; NULL if `index` is
 * not less than duoguard_engine_count(). The string is static. Any thread. */
DUOGUARD_API const char *duoguard_engine_name(size_t index);

/* Whether the engine that has this index can be used on this machine. The first call may load a
 * shared library. `error` may be NULL. Any thread.
 *
 * Fails with DUOGUARD_UNSUPPORTED if it cannot, where the message says what to do about it; with
 * DUOGUARD_INVALID_ARGUMENT if there is no engine of that index; or with DUOGUARD_PANIC. */
DUOGUARD_API duoguard_status duoguard_engine_available(size_t index, duoguard_error *error);

/* ---- Model ----------------------------------------------------------------------------------- */
/* A bundle, opened and verified. It does not change, and is shared by all sessions on it.
 *
 * Made by duoguard_model_open, duoguard_model_open_memory or one of these with options; freed by
 * duoguard_model_free. Its sessions may live on. Any number of threads may use it at once. */
typedef struct duoguard_model duoguard_model;

/* Opens the bundle in a folder.
 *
 * path   The folder that holds manifest.json, tokenizer.json, model.onnx and weights.data, and
 *        stream.onnx if its manifest lists that. On Windows in UTF-8; elsewhere the bytes that the
 *        system uses. Not NULL.
 * out    Receives the model, to be freed by duoguard_model_free. Not NULL.
 * error  Receives the message of a failure. May be NULL.
 *
 * The files are read, and not needed any more afterwards. Only a weights.data of more than 1 GiB is
 * mapped: while the model or a session on it lives, that file must not be changed in place or
 * truncated (renaming another over it is fine). A folder may be opened any number of times.
 *
 * Fails with DUOGUARD_INVALID_ARGUMENT, DUOGUARD_IO, DUOGUARD_INVALID_MODEL, DUOGUARD_UNSUPPORTED,
 * DUOGUARD_OUT_OF_MEMORY or DUOGUARD_PANIC. Any thread. */
DUOGUARD_API duoguard_status duoguard_model_open(const char *path, duoguard_model **out,
                                                 duoguard_error *error);

/* One file of a bundle, in memory. The caller's; it is read during the call only. */
typedef struct duoguard_file {
    const char *name; /* its name in the bundle, such as "manifest.json"; not NULL */
    const void *data; /* its bytes; NULL only if size is 0 */
    size_t size;      /* how many there are */
} duoguard_file;

/* Opens a bundle from memory, for where it is not a folder: assets of a phone app, an archive, a
 * resource of the program.
 *
 * files, file_count  The files, in any order, and how many. Each file of a bundle must be there
 *                    once, but stream.onnx may be left out: streams then have no cache. Files with
 *                    other names are ignored.
 * out                Receives the model, to be freed by duoguard_model_free. Not NULL.
 * error              Receives the message of a failure. May be NULL.
 *
 * The files are copied: the caller may free them when the call returns.
 *
 * Fails with DUOGUARD_INVALID_ARGUMENT (also: a file is missing), DUOGUARD_INVALID_MODEL,
 * DUOGUARD_UNSUPPORTED, DUOGUARD_OUT_OF_MEMORY or DUOGUARD_PANIC. Any thread. */
DUOGUARD_API duoguard_status duoguard_model_open_memory(
    const duoguard_file *files, size_t file_count, duoguard_model **out, duoguard_error *error);

/* How to open a model. Fill it with DUOGUARD_MODEL_OPTIONS_INIT, then change what you need. The
 * caller's; it and its key are read during the call only. */
typedef struct duoguard_model_options {
    uint32_t struct_size;   /* sizeof(duoguard_model_options) */
    uint32_t reserved;
    const char *public_key; /* whose signature the bundle must have: the text of a minisign.pub, or
                               only its line that begins with RW, ended by NUL. NULL: none */
} duoguard_model_options;
#define DUOGUARD_MODEL_OPTIONS_INIT { sizeof(duoguard_model_options), 0, NULL }

/* Does what duoguard_model_open does, as the options say.
 *
 * With a public key, the bundle must hold manifest.json.minisig, a signature of manifest.json in
 * minisign's format. As the manifest has the SHA-256 of every other file, one without it, with that
 * of another key, or with any other byte fails with DUOGUARD_INVALID_MODEL. A text that is no key
 * fails with DUOGUARD_INVALID_ARGUMENT.
 *
 * options  How; struct_size at least 8. NULL: DUOGUARD_MODEL_OPTIONS_INIT. Any thread. */
DUOGUARD_API duoguard_status duoguard_model_open_with(
    const char *path, const duoguard_model_options *options, duoguard_model **out,
    duoguard_error *error);

/* Does what duoguard_model_open_memory does, as the options say: with a public key, the signature
 * is the file of that name among the files. Everything else is as of duoguard_model_open_with. */
DUOGUARD_API duoguard_status duoguard_model_open_memory_with(
    const duoguard_file *files, size_t file_count, const duoguard_model_options *options,
    duoguard_model **out, duoguard_error *error);

/* Frees a model; NULL is accepted. No other thread may be using it; sessions on it may live on. */
DUOGUARD_API void duoguard_model_free(duoguard_model *model);

/* How many categories the model tells apart: at least 1; 0 if `model` is NULL. Any thread. */
DUOGUARD_API size_t duoguard_model_category_count(const duoguard_model *model);

/* The name of a category, in the order of the scores; NULL if `model` is NULL, or `index` not less
 * than duoguard_model_category_count(model). The string lives as long as the model. Any thread. */
DUOGUARD_API const char *duoguard_model_category_name(const duoguard_model *model, size_t index);

/* ---- Session --------------------------------------------------------------------------------- */
/* A model on an engine, with its working memory.
 *
 * Made by duoguard_session_new; freed by duoguard_session_free. It keeps what it needs of its
 * model, and may outlive it. One thread at a time may use it: make one session per thread. Sessions
 * of one model share its weights as far as the engine can: all of them with the embedded engine,
 * none with "onnxruntime". */
typedef struct duoguard_session duoguard_session;

/* How to make a session. Fill it with DUOGUARD_OPTIONS_INIT, then change what you need. The
 * caller's; it is read during the call only. */
typedef struct duoguard_options {
    uint32_t struct_size; /* sizeof(duoguard_options) */
    uint32_t threads;     /* that one check may use, at most 1024; 0: automatic, which is 1, as more
                             pays only for long text on idle cores */
    const char *engine;   /* its name; NULL: automatic, the first that is available */
} duoguard_options;
#define DUOGUARD_OPTIONS_INIT { sizeof(duoguard_options), 0, NULL }

/* Makes a session.
 *
 * model    The model. Not NULL.
 * options  How; struct_size at least 8. NULL: everything automatic.
 * out      Receives the session, to be freed by duoguard_session_free. Not NULL.
 * error    Receives the message of a failure. May be NULL.
 *
 * Fails with DUOGUARD_INVALID_ARGUMENT (also: no such engine), DUOGUARD_INVALID_MODEL,
 * DUOGUARD_UNSUPPORTED (an engine that is not available; an option that this library does not
 * know), DUOGUARD_ENGINE, DUOGUARD_OUT_OF_MEMORY or DUOGUARD_PANIC. Any thread. */
DUOGUARD_API duoguard_status duoguard_session_new(
    const duoguard_model *model, const duoguard_options *options, duoguard_session **out,
    duoguard_error *error);

/* Frees a session; NULL is accepted. No other thread may be using it. */
DUOGUARD_API void duoguard_session_free(duoguard_session *session);

/* The name of the engine that computes, as the automatic choice chose it; NULL if `session` is
 * NULL. The string lives as long as the session. No thread may be using the session exclusively. */
DUOGUARD_API const char *duoguard_session_engine(const duoguard_session *session);

/* ---- Check ----------------------------------------------------------------------------------- */
/* What to check: a prompt, a response, or a response together with the prompt that it answers. Fill
 * it with DUOGUARD_INPUT_INIT, then set what you have. The caller's; it and its texts are read
 * during the call only. */
typedef struct duoguard_input {
    uint32_t struct_size; /* sizeof(duoguard_input) */
    uint32_t reserved;
    const char *prompt;   /* UTF-8. NULL, 0: empty, as where a response is checked alone */
    size_t prompt_size;
    const char *response; /* UTF-8. NULL, 0: none. Not NULL, with size 0: an empty response */
    size_t response_size;
    const char *language; /* the text's, which chooses the thresholds: a BCP-47 tag such as "en" or
                             "pt_BR", ended by NUL. NULL: identified from the text */
} duoguard_input;
#define DUOGUARD_INPUT_INIT { sizeof(duoguard_input), 0, NULL, 0, NULL, 0, NULL }

/* How a prompt and its response become one text, or stay two. */
enum {
    DUOGUARD_JOIN_SPACE = 0,   /* the prompt, a space and the response: the benchmarks' rule */
    DUOGUARD_JOIN_NEWLINE = 1, /* the prompt, a line break and the response */
    DUOGUARD_JOIN_SEPARATE = 2 /* scored one by one: the response without what it answers */
};

/* How to check. Fill it with DUOGUARD_CHECK_OPTIONS_INIT, then change what you need. The caller's;
 * it and its thresholds are read during the call only. */
typedef struct duoguard_check_options {
    uint32_t struct_size;    /* sizeof(duoguard_check_options) */
    uint32_t join;           /* a DUOGUARD_JOIN_ constant */
    uint64_t max_tokens;     /* score the first tokens, at most this many, and nothing of the rest,
                                which coverage_partial then tells. 0: score all of the text */
    float target_fpr;        /* take the thresholds at which the model flags at most this share of
                                safe texts, in (0, 1); an error if it has none so low. 0: the
                                model's ordinary thresholds */
    uint32_t literal;        /* 1: score what is literally written, and nothing else. 0: score the
                                text also as it reads with its disguises taken off */
    const float *thresholds; /* one per category, in the order of the scores, in (0, 1]; a score
                                above its threshold is flagged, so 1 never flags. An entry of 0
                                leaves that category the threshold that it has without this array.
                                Any other value, NaN included, is an error. NULL: none */
    size_t threshold_count;  /* duoguard_model_category_count. 0: no thresholds */
} duoguard_check_options;
#define DUOGUARD_CHECK_OPTIONS_INIT \
    { sizeof(duoguard_check_options), DUOGUARD_JOIN_SPACE, 0, 0.0f, 0, NULL, 0 }

/* What a check found. Fill it with DUOGUARD_VERDICT_INIT. The caller's; there is nothing to free.
 *
 * The span is where the window that scored highest lies, in bytes of the text that the caller gave,
 * between characters: text of one window is its own span. A window that holds some of the prompt
 * and some of the response is told as its part of the one of which it holds more bytes; of the
 * prompt, if as many. Empty text has the span 0 to 0. */
typedef struct duoguard_verdict {
    uint32_t struct_size;   /* sizeof(duoguard_verdict), set by the caller */
    uint32_t flagged;       /* 1: a category's score exceeds its threshold, unsafe; otherwise 0 */
    int32_t top_category;   /* the category that exceeds its threshold by most, an index; or -1 */
    float top_score;        /* the largest score of any category, a probability in [0, 1] */
    uint64_t tokens;        /* tokens in the text, as the model counts */
    uint64_t tokens_scored; /* those of them that at least one window covered */
    uint32_t windows;       /* pieces that it was scored in; 0 for empty text, which is safe */
    char language[40];      /* whose thresholds applied, such as "pt-BR"; "und": not identified */
    uint32_t span_in_response; /* 1: the span is in the response; 0: in the prompt */
    uint64_t span_begin;       /* its first byte */
    uint64_t span_end;         /* the byte after its last */
    uint32_t coverage_partial; /* 1: max_tokens left some of the text unscored; 0: all was scored */
    uint32_t reserved;
} duoguard_verdict;
#define DUOGUARD_VERDICT_INIT \
    { sizeof(duoguard_verdict), 0, -1, 0.0f, 0, 0, 0, { '\0' }, 0, 0, 0, 0, 0 }

/* Checks a text: all of it, in as many windows as it needs, as it is written and, where it is
 * disguised, as it reads. Scores are the maximum over all of these.
 *
 * session      Computes. Not NULL; no other thread may use it during the call.
 * input        The text; struct_size at least offsetof(duoguard_input, response). Not NULL.
 * options      How to check; struct_size at least 8. NULL: DUOGUARD_CHECK_OPTIONS_INIT.
 * scores       Receives one score per category, a probability in [0, 1]. NULL: none wanted.
 * score_count  Their number, which is duoguard_model_category_count; 0 if scores is NULL.
 * verdict      Receives the verdict; struct_size at least 16. NULL: none wanted, but scores are.
 * error        Receives the message of a failure. May be NULL.
 *
 * Fails with DUOGUARD_INVALID_ARGUMENT (also: text that is not UTF-8; more than 4 MiB of prompt and
 * response, what joins them included; a language that is no tag; a wrong threshold, rate or count),
 * DUOGUARD_UNSUPPORTED (an option that this library does not know), DUOGUARD_ENGINE or
 * DUOGUARD_PANIC, after which the session can only be freed. */
DUOGUARD_API duoguard_status duoguard_session_check(
    duoguard_session *session, const duoguard_input *input, const duoguard_check_options *options,
    float *scores, size_t score_count, duoguard_verdict *verdict, duoguard_error *error);

/* ---- Stream ---------------------------------------------------------------------------------- */
/* A text that is checked while it is still being written, such as the response of a language model:
 * push each piece as it comes, look at the verdicts on the way, and finish. (Each call returns a
 * status, which is to be looked at.)
 *
 *     duoguard_stream_new(session, &options, &stream, &error);
 *     while (next_piece(&piece, &size)) {
 *         duoguard_stream_push(stream, session, piece, size, &judged, NULL, 0, &verdict, &error);
 *         if (judged && verdict.flagged)
 *             break;
 *     }
 *     duoguard_stream_finish(stream, session, NULL, 0, &verdict, &error);
 *     duoguard_stream_free(stream);
 *
 * Made by duoguard_stream_new; freed by duoguard_stream_free. It holds the text so far, and
 * computes nothing itself: sessions do, and one session may serve many streams by turns. It keeps
 * what it needs of its model; the session that it was made with may be freed before it, and another
 * session on the same model and engine may go on with it. One thread at a time may use it. */
typedef struct duoguard_stream duoguard_stream;

/* Whether verdicts on the way go on from what was computed for the one before. */
enum {
    DUOGUARD_CACHE_DEFAULT = 0, /* as the library does by default: in this release, on */
    DUOGUARD_CACHE_ON = 1,      /* they do where bundle and engine can, and cost what is new */
    DUOGUARD_CACHE_OFF = 2      /* they score whole windows, as the verdict at the end does */
};

/* How to read a stream. Fill it with DUOGUARD_STREAM_OPTIONS_INIT, then change what you need. The
 * caller's; it and all that it points to are read during the call only. */
typedef struct duoguard_stream_options {
    uint32_t struct_size;  /* sizeof(duoguard_stream_options) */
    uint32_t cache;        /* a DUOGUARD_CACHE_ constant */
    const char *prompt;    /* what the streamed response answers, in UTF-8. NULL, 0: the stream is
                              itself a prompt */
    size_t prompt_size;
    const char *language;  /* the text's, which chooses the thresholds: a BCP-47 tag such as "en" or
                              "pt_BR", ended by NUL. NULL: identified from the text so far */
    const duoguard_check_options *check; /* NULL: DUOGUARD_CHECK_OPTIONS_INIT */
    size_t debounce_bytes; /* bytes of new text after which a push draws a verdict; 1: at every push
                              that brings text. 0: automatic, which is 256. A verdict costs what is
                              new with a cache, and about one window of the network without */
} duoguard_stream_options;
#define DUOGUARD_STREAM_OPTIONS_INIT \
    { sizeof(duoguard_stream_options), DUOGUARD_CACHE_DEFAULT, NULL, 0, NULL, NULL, 0 }

/* Begins a stream.
 *
 * session  On the model and engine that will score it. Not NULL; no other thread may use it during
 *          the call.
 * options  How; struct_size at least 8. NULL: DUOGUARD_STREAM_OPTIONS_INIT, a prompt.
 * out      Receives the stream, to be freed by duoguard_stream_free. Not NULL.
 * error    Receives the message of a failure. May be NULL.
 *
 * Fails with DUOGUARD_INVALID_ARGUMENT (also: a prompt that is not UTF-8; a language that is no
 * tag; a wrong threshold, rate or count), DUOGUARD_UNSUPPORTED (an option that this library does
 * not know) or DUOGUARD_PANIC, after which the session can only be freed. */
DUOGUARD_API duoguard_status duoguard_stream_new(
    duoguard_session *session, const duoguard_stream_options *options, duoguard_stream **out,
    duoguard_error *error);

/* Whether verdicts on the way go on from what was computed for the one before: 1 if the bundle has
 * stream.onnx, the engine can run it ("wgpu" cannot) and the stream's options do not turn it off;
 * otherwise 0, as for NULL. The last window of such a verdict is shorter than a check would take,
 * and its scores may differ by about what quantising changes. The verdict of duoguard_stream_finish
 * is that of a check either way. No thread may be using the stream exclusively. */
DUOGUARD_API uint32_t duoguard_stream_uses_cache(const duoguard_stream *stream);

/* Takes the next bytes, and gives a verdict on the text so far if enough of it is new. It is an
 * early look: it may flag what the finished text does not, and the other way round.
 *
 * stream       Not NULL; no other thread may use it during the call.
 * session      On its model and engine. Not NULL; no other thread may use it during the call.
 * piece        The next bytes, piece_size of them, which may end inside a character. NULL, 0: none.
 * judged       Receives 1 if a verdict was drawn, and 0 if too little is new: scores and verdict
 *              are then left as they were. Not NULL.
 * scores       Receives one score per category, a probability in [0, 1]. NULL: none wanted.
 * score_count  Their number, which is duoguard_model_category_count; 0 if scores is NULL.
 * verdict      Receives the verdict; struct_size at least 16. NULL: none wanted, but scores are.
 * error        Receives the message of a failure. May be NULL.
 *
 * Fails with DUOGUARD_INVALID_ARGUMENT (also: bytes that cannot be UTF-8; more than 4 MiB of prompt
 * and stream; a session on another model or engine) and then the stream is as it was before; with
 * DUOGUARD_ENGINE, where the piece was taken and only the verdict failed; or with DUOGUARD_PANIC,
 * after which stream and session can only be freed. */
DUOGUARD_API duoguard_status duoguard_stream_push(
    duoguard_stream *stream, duoguard_session *session, const char *piece, size_t piece_size,
    uint32_t *judged, float *scores, size_t score_count, duoguard_verdict *verdict,
    duoguard_error *error);

/* Gives the verdict on the whole text: exactly that of duoguard_session_check on it, however it was
 * cut into pieces. More may be pushed afterwards.
 *
 * stream       Not NULL; no other thread may use it during the call.
 * session      On its model and engine. Not NULL; no other thread may use it during the call.
 * scores       Receives one score per category, a probability in [0, 1]. NULL: none wanted.
 * score_count  Their number, which is duoguard_model_category_count; 0 if scores is NULL.
 * verdict      Receives the verdict; struct_size at least 16. NULL: none wanted, but scores are.
 * error        Receives the message of a failure. May be NULL.
 *
 * Fails with DUOGUARD_INVALID_ARGUMENT (also: text that ends inside a character, whose rest can
 * still be pushed; a session on another model or engine), DUOGUARD_ENGINE or DUOGUARD_PANIC, after
 * which stream and session can only be freed. */
DUOGUARD_API duoguard_status duoguard_stream_finish(
    duoguard_stream *stream, duoguard_session *session, float *scores, size_t score_count,
    duoguard_verdict *verdict, duoguard_error *error);

/* Frees a stream, finished or not; NULL is accepted. No other thread may be using it. */
DUOGUARD_API void duoguard_stream_free(duoguard_stream *stream);

#ifdef __cplusplus
}
#endif

#endif /* DUOGUARD_H */
