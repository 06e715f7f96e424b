/* Sessions: options, texts, outputs, and what each refuses. */
#include "test.h"

static const char BREAD[] = "How do I bake bread at home?";
enum { BREAD_SIZE = sizeof BREAD - 1, CATEGORIES = 12 };

/* A caller of a later release, whose structs have grown. */
typedef struct later_options {
    duoguard_options known;
    uint64_t added;
} later_options;
typedef struct later_verdict {
    duoguard_verdict known;
    uint64_t added;
} later_verdict;

static void test_option_sizes(const duoguard_model *model) {
    duoguard_session *session = NULL;
    later_options later;

    /* An older caller, who knows of `threads` only: the engine behind it is not looked at. */
    duoguard_options older = {8, 1, (const char *)1};
    CHECK(duoguard_session_new(model, &older, &session, NULL) == DUOGUARD_OK);
    duoguard_session_free(session);
    session = NULL;
    older.struct_size = 0;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "struct_size is 0", duoguard_session_new(model, &older, &session, &error));
    older.struct_size = 7;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "struct_size is 7", duoguard_session_new(model, &older, &session, &error));
    older.struct_size = UINT32_MAX;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "struct_size", duoguard_session_new(model, &older, &session, &error));
    CHECK(session == NULL);

    /* A newer caller: what it leaves at zero is fine, what it asks for cannot be had. */
    memset(&later, 0, sizeof later);
    later.known.struct_size = sizeof later;
    CHECK(duoguard_session_new(model, &later.known, &session, NULL) == DUOGUARD_OK);
    duoguard_session_free(session);
    session = NULL;
    later.added = 1;
    CHECK_FAILS(DUOGUARD_UNSUPPORTED, "newer library", duoguard_session_new(model, &later.known, &session, &error));
    CHECK(session == NULL);
}

void test_options(const char *folder) {
    duoguard_model *model = open_model(folder);
    duoguard_session *session = NULL;
    duoguard_options options = DUOGUARD_OPTIONS_INIT;

    CHECK(duoguard_session_new(model, NULL, &session, NULL) == DUOGUARD_OK);
    CHECK(strcmp(duoguard_session_engine(session), "rten") == 0);
    CHECK(duoguard_session_engine(NULL) == NULL);
    duoguard_session_free(session);
    session = NULL;
    options.threads = 2;
    CHECK(duoguard_session_new(model, &options, &session, NULL) == DUOGUARD_OK);
    duoguard_session_free(session);
    session = NULL;

    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "model is NULL", duoguard_session_new(NULL, &options, &session, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "out is NULL", duoguard_session_new(model, &options, NULL, &error));
    options.threads = UINT32_MAX;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "at most 1024", duoguard_session_new(model, &options, &session, &error));
    options.threads = 0;
    options.engine = "steam";
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "steam", duoguard_session_new(model, &options, &session, &error));
    options.engine = "";
    CHECK(duoguard_session_new(model, &options, &session, NULL) == DUOGUARD_INVALID_ARGUMENT);
    options.engine = "\xc3";
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "options.engine is not UTF-8",
                duoguard_session_new(model, &options, &session, &error));
    CHECK(session == NULL);
    test_option_sizes(model);
    duoguard_model_free(model);
}

static void test_results(duoguard_session *session) {
    float scores[CATEGORIES], again[CATEGORIES], largest = 0.0f;
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT, both = DUOGUARD_VERDICT_INIT, empty = DUOGUARD_VERDICT_INIT;
    duoguard_error error;

    memset(&error, '#', sizeof error);
    CHECK(duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, scores, CATEGORIES, &verdict, &error) == DUOGUARD_OK);
    CHECK(error.message[0] == '#' && error.message[DUOGUARD_MESSAGE_SIZE - 1] == '#');
    for (size_t i = 0; i < CATEGORIES; i++) {
        CHECK(scores[i] >= 0.0f && scores[i] <= 1.0f);
        if (scores[i] > largest)
            largest = scores[i];
    }
    CHECK(verdict.struct_size == sizeof verdict);
    CHECK(memcmp(&verdict.top_score, &largest, sizeof largest) == 0);
    CHECK(verdict.flagged <= 1 && (verdict.flagged == 1) == (verdict.top_category >= 0));
    CHECK(verdict.tokens > 4 && verdict.tokens_scored == verdict.tokens && verdict.windows == 1);
    CHECK(memchr(verdict.language, 0, sizeof verdict.language) != NULL && verdict.language[0] != '\0');

    /* The same text, the same scores, whatever was checked in between. */
    CHECK(duoguard_session_check(session, BREAD, BREAD_SIZE, "With flour.", 11, NULL, 0, &both, NULL) == DUOGUARD_OK);
    CHECK(both.tokens > verdict.tokens);
    CHECK(duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, again, CATEGORIES, NULL, NULL) == DUOGUARD_OK);
    CHECK(memcmp(scores, again, sizeof scores) == 0);

    /* No text at all. */
    memset(scores, 0x7f, sizeof scores);
    CHECK(duoguard_session_check(session, NULL, 0, NULL, 0, scores, CATEGORIES, &empty, NULL) == DUOGUARD_OK);
    CHECK(empty.flagged == 0 && empty.top_category == -1 && empty.tokens == 0 && empty.windows == 0);
    CHECK(scores[0] == 0.0f && empty.top_score == 0.0f && strcmp(empty.language, "und") == 0);
    CHECK(duoguard_session_check(session, BREAD, 0, "", 0, NULL, 0, &empty, NULL) == DUOGUARD_OK);
    CHECK(empty.tokens == 0);
    CHECK(duoguard_session_check(session, NULL, 0, BREAD, BREAD_SIZE, NULL, 0, &empty, NULL) == DUOGUARD_OK);
    CHECK(empty.tokens > 0);
}

static void test_texts(duoguard_session *session) {
    float scores[CATEGORIES], with_nul[CATEGORIES];
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    static char large[4 * 1024 * 1024 + 1];

    /* A NUL is a character: what stands behind it counts. */
    CHECK(duoguard_session_check(session, "bread\0and butter", 5, NULL, 0, scores, CATEGORIES, &verdict, NULL) == DUOGUARD_OK);
    {
        uint64_t tokens = verdict.tokens;
        CHECK(duoguard_session_check(session, "bread\0and butter", 16, NULL, 0, with_nul, CATEGORIES, &verdict, NULL) == DUOGUARD_OK);
        CHECK(verdict.tokens > tokens && memcmp(scores, with_nul, sizeof scores) != 0);
    }
    /* The size decides, not a NUL at the end. */
    {
        const char letters[] = {'b', 'r', 'e', 'a', 'd'};
        CHECK(duoguard_session_check(session, letters, sizeof letters, NULL, 0, with_nul, CATEGORIES, NULL, NULL) == DUOGUARD_OK);
        CHECK(memcmp(scores, with_nul, sizeof scores) == 0);
    }
    /* A long text is scored whole, in windows. */
    for (size_t i = 0; i + 6 <= 30000; i += 6)
        memcpy(large + i, "bread ", 6);
    CHECK(duoguard_session_check(session, large, 30000, NULL, 0, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
    CHECK(verdict.windows > 1 && verdict.tokens_scored == verdict.tokens);

    memset(large, 'a', sizeof large);
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "4194304",
                duoguard_session_check(session, large, sizeof large, NULL, 0, scores, CATEGORIES, NULL, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "prompt",
                duoguard_session_check(session, BREAD, SIZE_MAX, NULL, 0, scores, CATEGORIES, NULL, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "prompt is not UTF-8: byte 3 of 5 is 0xff",
                duoguard_session_check(session, "abc\xff" "d", 5, NULL, 0, scores, CATEGORIES, NULL, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "response is not UTF-8: byte 0 of 1 is 0xc3",
                duoguard_session_check(session, "abc", 3, "\xc3\xa4", 1, scores, CATEGORIES, NULL, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "byte 1 of 4",
                duoguard_session_check(session, "a\xed\xa0\x80", 4, NULL, 0, scores, CATEGORIES, NULL, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "prompt", duoguard_session_check(session, NULL, 1, NULL, 0, scores, CATEGORIES, NULL, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "response",
                duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 1, scores, CATEGORIES, NULL, &error));
}

static void test_outputs(duoguard_session *session) {
    float scores[CATEGORIES + 1];
    duoguard_verdict verdict, before;

    /* Compared as bytes below, padding and all. */
    memset(&verdict, 0, sizeof verdict);
    verdict.struct_size = sizeof verdict;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "session is NULL",
                duoguard_session_check(NULL, BREAD, BREAD_SIZE, NULL, 0, scores, CATEGORIES, NULL, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "both",
                duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, NULL, 0, NULL, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "scores is NULL",
                duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, NULL, CATEGORIES, &verdict, &error));
    scores[CATEGORIES - 1] = scores[CATEGORIES] = 7.0f;
    verdict.tokens = 7;
    memcpy(&before, &verdict, sizeof before);
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "score_count is 11",
                duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, scores, CATEGORIES - 1, &verdict, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "score_count is 13",
                duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, scores, CATEGORIES + 1, &verdict, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "score_count is 0",
                duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, scores, 0, &verdict, &error));
    /* A failure writes no output. */
    CHECK(scores[CATEGORIES - 1] == 7.0f && memcmp(&verdict, &before, sizeof verdict) == 0);
    CHECK(duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, scores, CATEGORIES, &verdict, NULL) == DUOGUARD_OK);
    CHECK(scores[CATEGORIES - 1] != 7.0f && scores[CATEGORIES] == 7.0f);
}

static void test_verdict_sizes(duoguard_session *session) {
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT, whole = DUOGUARD_VERDICT_INIT;
    later_verdict later;

    CHECK(duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, NULL, 0, &whole, NULL) == DUOGUARD_OK);
    verdict.struct_size = 0;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "verdict.struct_size is 0",
                duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, NULL, 0, &verdict, &error));
    verdict.struct_size = 15;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "struct_size is 15",
                duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, NULL, 0, &verdict, &error));

    /* An older caller, whose struct ends before tokens_scored, or in the middle of it: not a byte more is written. */
    for (uint32_t size = offsetof(duoguard_verdict, tokens_scored); size < offsetof(duoguard_verdict, windows); size++) {
        verdict.struct_size = size;
        verdict.tokens = verdict.tokens_scored = 7;
        CHECK(duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
        CHECK(verdict.struct_size == size && verdict.tokens == whole.tokens && verdict.tokens_scored == 7);
    }
    /* A newer caller: what this library does not know is zero. */
    memset(&later, 0x55, sizeof later);
    later.known.struct_size = sizeof later;
    CHECK(duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, NULL, 0, &later.known, NULL) == DUOGUARD_OK);
    CHECK(later.known.tokens == whole.tokens && strcmp(later.known.language, whole.language) == 0 && later.added == 0);
}

static void test_language(duoguard_session *session) {
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    CHECK(duoguard_session_set_language(session, "de", NULL) == DUOGUARD_OK);
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "BCP-47", duoguard_session_set_language(session, "Deutsch!", &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "BCP-47", duoguard_session_set_language(session, "", &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "at most 15", duoguard_session_set_language(session, "de-abcdefgh-abcdefgh", &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "not UTF-8", duoguard_session_set_language(session, "\xff", &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "session is NULL", duoguard_session_set_language(NULL, "de", &error));
    CHECK(duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
    CHECK(strcmp(verdict.language, "de") == 0);
    CHECK(duoguard_session_set_language(session, "abc-defgh-12345", NULL) == DUOGUARD_OK);
    CHECK(duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
    CHECK(strcmp(verdict.language, "abc-defgh-12345") == 0);
    CHECK(duoguard_session_set_language(session, NULL, NULL) == DUOGUARD_OK);
    CHECK(duoguard_session_check(session, BREAD, BREAD_SIZE, NULL, 0, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
    CHECK(strcmp(verdict.language, "abc-defgh-12345") != 0);
}

/* A message that quotes too much is cut, at the border of a character. */
static void test_long_message(duoguard_session *session) {
    char tag[4001];
    duoguard_error error;
    for (size_t shift = 0; shift < 4; shift++) {
        size_t end = sizeof tag - 1;
        memset(tag, 'x', sizeof tag);
        for (size_t i = shift; i + 4 < end; i += 4)
            memcpy(tag + i, "\xf0\x9f\x8d\x9e", 4);
        tag[end] = '\0';
        memset(&error, '#', sizeof error);
        CHECK(duoguard_session_set_language(session, tag, &error) == DUOGUARD_INVALID_ARGUMENT);
        CHECK(strlen(error.message) > 1000 && strlen(error.message) < DUOGUARD_MESSAGE_SIZE);
        CHECK(strstr(error.message, " [...] ") != NULL);
        /* Checked as UTF-8 by the one who must know. */
        CHECK(duoguard_session_check(session, error.message, strlen(error.message), NULL, 0, NULL, 0,
                                     &(duoguard_verdict)DUOGUARD_VERDICT_INIT, NULL) == DUOGUARD_OK);
    }
}

void test_check(const char *folder) {
    duoguard_model *model = open_model(folder);
    duoguard_session *session = open_session(model);
    test_results(session);
    test_texts(session);
    test_outputs(session);
    test_verdict_sizes(session);
    test_language(session);
    test_long_message(session);
    duoguard_session_free(session);
    duoguard_model_free(model);
}
