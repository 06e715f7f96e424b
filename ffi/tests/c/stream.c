/* Streams: pieces of any size, early verdicts, options, and what each call refuses. */
#include "test.h"

/* Bread in four scripts, with characters of one to four bytes. */
static const char TEXT[] =
    "How do I bake bread at home? Wie backe ich Brot f\xc3\xbcr die G\xc3\xa4ste? "
    "\xe3\x83\x91\xe3\x83\xb3\xe3\x81\xae\xe7\x84\xbc\xe3\x81\x8d\xe6\x96\xb9 \xf0\x9f\x8d\x9e, "
    "and then I would like to know how long the dough must rest before it goes into the oven.";
static const char QUESTION[] = "What shall I cook?";
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

/* The verdict at the end, without scores. */
static duoguard_status finish(duoguard_stream *stream, duoguard_session *session,
                              duoguard_verdict *verdict, duoguard_error *error) {
    return duoguard_stream_finish(stream, session, NULL, 0, verdict, error);
}

/* Pushes a piece that is too short for a verdict, or wrong. */
static duoguard_status push(duoguard_stream *stream, duoguard_session *session, const char *piece,
                            size_t size, duoguard_error *error) {
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    uint32_t judged = 7;
    duoguard_status status =
        duoguard_stream_push(stream, session, piece, size, &judged, NULL, 0, &verdict, error);
    CHECK(judged == (status == DUOGUARD_OK ? 0 : 7));
    return status;
}

/* Pushes the text in pieces of one size, and returns how many verdicts were drawn on the way. */
static unsigned push_all(duoguard_stream *stream, duoguard_session *session, size_t piece_size) {
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    unsigned drawn = 0;
    for (size_t at = 0; at < TEXT_SIZE; at += piece_size) {
        size_t size = TEXT_SIZE - at < piece_size ? TEXT_SIZE - at : piece_size;
        uint32_t judged = 7;
        CHECK(duoguard_stream_push(stream, session, TEXT + at, size, &judged, NULL, 0, &verdict,
                                   NULL) == DUOGUARD_OK);
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
    duoguard_input input = input_of(TEXT, TEXT_SIZE, NULL, 0);

    options.debounce_bytes = 100;
    if (is_response) {
        options.prompt = QUESTION;
        options.prompt_size = QUESTION_SIZE;
        input = input_of(QUESTION, QUESTION_SIZE, TEXT, TEXT_SIZE);
    }
    CHECK(duoguard_session_check(session, &input, NULL, expected_scores, CATEGORIES, &expected,
                                 NULL) == DUOGUARD_OK);
    for (size_t index = 0; index < sizeof SIZES / sizeof SIZES[0]; index++) {
        duoguard_stream *stream = begin(session, &options);
        unsigned drawn = push_all(stream, session, SIZES[index]);
        if (SIZES[index] == TEXT_SIZE)
            CHECK(drawn == 1);
        else
            CHECK(drawn >= TEXT_SIZE / 164 && drawn <= TEXT_SIZE / 100);
        /* Asking again changes nothing. */
        for (int times = 0; times < 2; times++) {
            duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
            CHECK(duoguard_stream_finish(stream, session, scores, CATEGORIES, &verdict, NULL) ==
                  DUOGUARD_OK);
            CHECK(memcmp(scores, expected_scores, sizeof scores) == 0);
            CHECK(memcmp(&verdict, &expected, sizeof verdict) == 0);
        }
        duoguard_stream_free(stream);
    }
}

static void test_options_refused(duoguard_session *session) {
    duoguard_stream *out = NULL;
    duoguard_stream_options options = DUOGUARD_STREAM_OPTIONS_INIT;
    duoguard_check_options check = DUOGUARD_CHECK_OPTIONS_INIT;
    static const float THRESHOLDS[CATEGORIES] = {2.0f};

    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "session is NULL",
                duoguard_stream_new(NULL, NULL, &out, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "out is NULL",
                duoguard_stream_new(session, NULL, NULL, &error));
    options.struct_size = 7;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "stream_options.struct_size is 7",
                duoguard_stream_new(session, &options, &out, &error));
    options.struct_size = sizeof options;
    options.prompt_size = 3;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "stream_options.prompt",
                duoguard_stream_new(session, &options, &out, &error));
    options.prompt = "a\xff!";
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "byte 1",
                duoguard_stream_new(session, &options, &out, &error));
    options.prompt = NULL;
    options.prompt_size = 0;
    options.cache = 3;
    CHECK_FAILS(DUOGUARD_UNSUPPORTED, "stream_options.cache is 3",
                duoguard_stream_new(session, &options, &out, &error));
    options.cache = DUOGUARD_CACHE_DEFAULT;
    options.language = "Deutsch!";
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "BCP-47",
                duoguard_stream_new(session, &options, &out, &error));
    options.language = "\xff";
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "stream_options.language is not UTF-8",
                duoguard_stream_new(session, &options, &out, &error));
    options.language = NULL;

    /* What no check would take is refused before anything is pushed. */
    options.check = &check;
    check.join = 3;
    CHECK_FAILS(DUOGUARD_UNSUPPORTED, "check_options.join",
                duoguard_stream_new(session, &options, &out, &error));
    check.join = DUOGUARD_JOIN_SPACE;
    check.target_fpr = 0.001f;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "0.001",
                duoguard_stream_new(session, &options, &out, &error));
    check.target_fpr = 0.0f;
    check.thresholds = THRESHOLDS;
    check.threshold_count = CATEGORIES;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "threshold of 2",
                duoguard_stream_new(session, &options, &out, &error));
    check.struct_size = 7;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "check_options.struct_size is 7",
                duoguard_stream_new(session, &options, &out, &error));
    CHECK(out == NULL);
}

static void test_refusals(const duoguard_model *model, duoguard_session *session) {
    duoguard_stream *stream = begin(session, NULL);
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    float scores[CATEGORIES];
    uint32_t judged = 7;

    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "stream is NULL", push(NULL, session, "a", 1, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "session is NULL", push(stream, NULL, "a", 1, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "piece", push(stream, session, NULL, 1, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "not valid UTF-8 at byte 1",
                push(stream, session, "a\xff", 2, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "judged is NULL",
                duoguard_stream_push(stream, session, "a", 1, NULL, NULL, 0, &verdict, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "score_count",
                duoguard_stream_push(stream, session, "a", 1, &judged, scores, 1, &verdict,
                                     &error));
    CHECK(judged == 7);
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "NULL", finish(stream, session, NULL, &error));

    /* Nothing of all this was taken: the stream is empty, and so is its verdict. */
    CHECK(finish(stream, session, &verdict, NULL) == DUOGUARD_OK);
    CHECK(verdict.windows == 0 && verdict.tokens == 0 && verdict.flagged == 0);
    CHECK(push(stream, session, NULL, 0, NULL) == DUOGUARD_OK);

    /* Half a character waits for its other half. */
    CHECK(push(stream, session, "f\xc3", 2, NULL) == DUOGUARD_OK);
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "inside a character",
                finish(stream, session, &verdict, &error));
    CHECK(push(stream, session, "\xbcr", 2, NULL) == DUOGUARD_OK);
    CHECK(finish(stream, session, &verdict, NULL) == DUOGUARD_OK && verdict.windows != 0);

    /* Another session on the model may go on; a session on another model may not. */
    {
        duoguard_session *other = open_session(model);
        CHECK(finish(stream, other, &verdict, NULL) == DUOGUARD_OK);
        duoguard_session_free(other);
    }
    duoguard_stream_free(stream);
    duoguard_stream_free(NULL);
}

static uint32_t uses_cache(duoguard_session *session, const duoguard_stream_options *options) {
    duoguard_stream *stream = begin(session, options);
    uint32_t answer = duoguard_stream_uses_cache(stream);
    duoguard_stream_free(stream);
    return answer;
}

/* The bundle has the graph for it. Who says nothing, who clears the struct and who knows nothing of
 * it has the default. */
static void test_cache(duoguard_session *session) {
    uint32_t cached = strcmp(duoguard_session_engine(session), "wgpu") != 0;
    duoguard_stream_options options = DUOGUARD_STREAM_OPTIONS_INIT, cleared;

    CHECK(duoguard_stream_uses_cache(NULL) == 0);
    CHECK(uses_cache(session, NULL) == cached);
    CHECK(uses_cache(session, &options) == cached);
    memset(&cleared, 0, sizeof cleared);
    cleared.struct_size = sizeof cleared;
    CHECK(memcmp(&cleared, &options, sizeof options) == 0);
    options.cache = DUOGUARD_CACHE_ON;
    CHECK(uses_cache(session, &options) == cached);
    options.cache = DUOGUARD_CACHE_OFF;
    CHECK(uses_cache(session, &options) == 0);
    options.cache = DUOGUARD_CACHE_DEFAULT;
    options.struct_size = offsetof(duoguard_stream_options, prompt);
    options.prompt = (const char *)1;
    CHECK(uses_cache(session, &options) == cached);
}

/* A verdict on the way is drawn as the options say. */
static void test_check_options(duoguard_session *session) {
    duoguard_stream_options options = DUOGUARD_STREAM_OPTIONS_INIT;
    duoguard_check_options check = DUOGUARD_CHECK_OPTIONS_INIT;
    float thresholds[CATEGORIES] = {0};
    uint32_t judged = 7;
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    duoguard_stream *stream;

    thresholds[CATEGORIES - 1] = 1e-6f;
    check.thresholds = thresholds;
    check.threshold_count = CATEGORIES;
    check.max_tokens = 3;
    options.check = &check;
    options.language = "pt_BR";
    options.debounce_bytes = 1;
    stream = begin(session, &options);
    /* All of it was read when the stream began. */
    memset(&check, 0xff, sizeof check);
    memset(thresholds, 0xff, sizeof thresholds);
    CHECK(duoguard_stream_push(stream, session, TEXT, TEXT_SIZE, &judged, NULL, 0, &verdict,
                               NULL) == DUOGUARD_OK);
    CHECK(judged == 1 && verdict.flagged == 1 && verdict.top_category == CATEGORIES - 1);
    CHECK(verdict.tokens_scored == 3 && verdict.coverage_partial == 1);
    CHECK(verdict.span_begin == 0 && verdict.span_end > 0 && verdict.span_end < TEXT_SIZE);
    CHECK(strcmp(verdict.language, "pt-BR") == 0);
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
    test_check_options(session);
    test_options_refused(session);
    test_refusals(model, session);

    /* A stream lives on without what it was made with. */
    stream = begin(session, NULL);
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "another model",
                finish(stream, stranger, &verdict, &error));
    duoguard_session_free(stranger);
    duoguard_model_free(twin);
    duoguard_session_free(session);
    session = open_session(model);
    duoguard_model_free(model);
    push_all(stream, session, 5);
    CHECK(finish(stream, session, &verdict, NULL) == DUOGUARD_OK && verdict.tokens != 0);
    duoguard_session_free(session);
    duoguard_stream_free(stream);
}
