/* Streams: pieces of any size, early verdicts, and what each call refuses. */
#include "test.h"

/* Bread in four scripts, with characters of one to four bytes. */
static const char TEXT[] = "How do I bake bread at home? Wie backe ich Brot f\xc3\xbcr die G\xc3\xa4ste? "
                           "\xe3\x83\x91\xe3\x83\xb3\xe3\x81\xae\xe7\x84\xbc\xe3\x81\x8d\xe6\x96\xb9 \xf0\x9f\x8d\x9e, "
                           "and then I would like to know how long the dough must rest before it goes into the oven.";
static const char QUESTION[] = "What shall I cook?";
/* Without the padding after the last field, which nobody sets. */
#define VERDICT_FIELDS (offsetof(duoguard_verdict, language) + sizeof(((duoguard_verdict *)0)->language))
enum { TEXT_SIZE = sizeof TEXT - 1, QUESTION_SIZE = sizeof QUESTION - 1, CATEGORIES = 12 };

static duoguard_stream *begin(duoguard_session *session, const duoguard_stream_options *options) {
    duoguard_stream *stream = NULL;
    duoguard_error error;
    if (duoguard_stream_new(session, options, &stream, &error) != DUOGUARD_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
    return stream;
}

/* Pushes the text in pieces of one size, and returns how many verdicts were drawn on the way. */
static unsigned push_all(duoguard_stream *stream, duoguard_session *session, size_t piece_size) {
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    unsigned drawn = 0;
    size_t at;
    for (at = 0; at < TEXT_SIZE; at += piece_size) {
        size_t size = TEXT_SIZE - at < piece_size ? TEXT_SIZE - at : piece_size;
        uint32_t judged = 7;
        CHECK(duoguard_stream_push(stream, session, TEXT + at, size, &judged, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
        CHECK(judged == 0 || judged == 1);
        drawn += judged;
    }
    return drawn;
}

static void test_equal_to_a_check(duoguard_session *session, int is_response) {
    static const size_t SIZES[] = {1, 2, 3, 7, 64, TEXT_SIZE};
    float scores[CATEGORIES], expected_scores[CATEGORIES];
    duoguard_verdict expected = DUOGUARD_VERDICT_INIT;
    duoguard_stream_options options = DUOGUARD_STREAM_OPTIONS_INIT;
    size_t index;

    options.debounce_bytes = 100;
    if (is_response) {
        options.prompt = QUESTION;
        options.prompt_size = QUESTION_SIZE;
        CHECK(duoguard_session_check(session, QUESTION, QUESTION_SIZE, TEXT, TEXT_SIZE, expected_scores, CATEGORIES, &expected,
                                     NULL) == DUOGUARD_OK);
    } else {
        CHECK(duoguard_session_check(session, TEXT, TEXT_SIZE, NULL, 0, expected_scores, CATEGORIES, &expected, NULL) == DUOGUARD_OK);
    }
    for (index = 0; index < sizeof SIZES / sizeof SIZES[0]; index++) {
        duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
        duoguard_stream *stream = begin(session, &options);
        unsigned drawn = push_all(stream, session, SIZES[index]);
        CHECK(SIZES[index] == TEXT_SIZE ? drawn == 1 : drawn >= TEXT_SIZE / 164 && drawn <= TEXT_SIZE / 100);
        CHECK(duoguard_stream_finish(stream, session, scores, CATEGORIES, &verdict, NULL) == DUOGUARD_OK);
        CHECK(memcmp(scores, expected_scores, sizeof scores) == 0);
        CHECK(memcmp(&verdict, &expected, VERDICT_FIELDS) == 0);
        /* Asking again changes nothing. */
        CHECK(duoguard_stream_finish(stream, session, scores, CATEGORIES, &verdict, NULL) == DUOGUARD_OK);
        CHECK(memcmp(&verdict, &expected, VERDICT_FIELDS) == 0);
        duoguard_stream_free(stream);
    }
}

static void test_refusals(const duoguard_model *model, duoguard_session *session) {
    duoguard_stream *stream = begin(session, NULL), *out = NULL;
    duoguard_stream_options options = DUOGUARD_STREAM_OPTIONS_INIT;
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    float scores[CATEGORIES];
    uint32_t judged = 7;

    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "session is NULL", duoguard_stream_new(NULL, NULL, &out, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "out is NULL", duoguard_stream_new(session, NULL, NULL, &error));
    options.struct_size = 7;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "stream_options.struct_size is 7", duoguard_stream_new(session, &options, &out, &error));
    options.struct_size = sizeof options;
    options.prompt_size = 3;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "stream_options.prompt", duoguard_stream_new(session, &options, &out, &error));
    options.prompt = "a\xff!";
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "byte 1", duoguard_stream_new(session, &options, &out, &error));
    options.prompt = NULL;
    options.prompt_size = 0;
    options.rescore = 2;
    CHECK_FAILS(DUOGUARD_UNSUPPORTED, "rescore", duoguard_stream_new(session, &options, &out, &error));
    options.rescore = 0;
    options.reserved = 1;
    CHECK_FAILS(DUOGUARD_UNSUPPORTED, "reserved", duoguard_stream_new(session, &options, &out, &error));
    CHECK(out == NULL);

    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "stream is NULL",
                duoguard_stream_push(NULL, session, "a", 1, &judged, NULL, 0, &verdict, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "session is NULL",
                duoguard_stream_push(stream, NULL, "a", 1, &judged, NULL, 0, &verdict, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "piece", duoguard_stream_push(stream, session, NULL, 1, &judged, NULL, 0, &verdict, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "judged is NULL", duoguard_stream_push(stream, session, "a", 1, NULL, NULL, 0, &verdict, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "score_count", duoguard_stream_push(stream, session, "a", 1, &judged, scores, 1, &verdict, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "not valid UTF-8 at byte 1",
                duoguard_stream_push(stream, session, "a\xff", 2, &judged, NULL, 0, &verdict, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "NULL", duoguard_stream_finish(stream, session, NULL, 0, NULL, &error));
    CHECK(judged == 7);

    /* Nothing of all this was taken: the stream is empty, and so is its verdict. */
    CHECK(duoguard_stream_finish(stream, session, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
    CHECK(verdict.windows == 0 && verdict.tokens == 0 && verdict.flagged == 0);
    CHECK(duoguard_stream_push(stream, session, NULL, 0, &judged, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
    CHECK(judged == 0);

    /* Half a character waits for its other half. */
    CHECK(duoguard_stream_push(stream, session, "f\xc3", 2, &judged, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "inside a character", duoguard_stream_finish(stream, session, NULL, 0, &verdict, &error));
    CHECK(duoguard_stream_push(stream, session, "\xbcr", 2, &judged, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
    CHECK(duoguard_stream_finish(stream, session, NULL, 0, &verdict, NULL) == DUOGUARD_OK && verdict.windows != 0);

    /* Another session on the model may go on; a session on another model may not. */
    {
        duoguard_session *other = open_session(model);
        CHECK(duoguard_stream_finish(stream, other, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
        duoguard_session_free(other);
    }
    duoguard_stream_free(stream);
    duoguard_stream_free(NULL);
}

/* The bundle has the graph for it; programs that know nothing of the option have it too. */
static void test_cache(duoguard_session *session) {
    duoguard_stream_options options = DUOGUARD_STREAM_OPTIONS_INIT;
    duoguard_stream *stream = begin(session, &options);
    uint32_t cached = duoguard_stream_uses_cache(stream);

    CHECK(cached == (strcmp(duoguard_session_engine(session), "wgpu") != 0));
    CHECK(duoguard_stream_uses_cache(NULL) == 0);
    duoguard_stream_free(stream);
    options.rescore = 1;
    stream = begin(session, &options);
    CHECK(duoguard_stream_uses_cache(stream) == 0);
    duoguard_stream_free(stream);
    options.struct_size = offsetof(duoguard_stream_options, rescore);
    stream = begin(session, &options);
    CHECK(duoguard_stream_uses_cache(stream) == cached);
    duoguard_stream_free(stream);
}

void test_stream(const char *folder) {
    duoguard_model *model = open_model(folder), *twin = open_model(folder);
    duoguard_session *session = open_session(model), *stranger = open_session(twin);
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    duoguard_stream *stream;

    test_equal_to_a_check(session, 0);
    test_equal_to_a_check(session, 1);
    test_cache(session);
    test_refusals(model, session);

    /* A stream lives on without what it was made with. */
    stream = begin(session, NULL);
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "another model", duoguard_stream_finish(stream, stranger, NULL, 0, &verdict, &error));
    duoguard_session_free(stranger);
    duoguard_model_free(twin);
    duoguard_session_free(session);
    session = open_session(model);
    duoguard_model_free(model);
    push_all(stream, session, 5);
    CHECK(duoguard_stream_finish(stream, session, NULL, 0, &verdict, NULL) == DUOGUARD_OK && verdict.tokens != 0);
    duoguard_session_free(session);
    duoguard_stream_free(stream);
}
