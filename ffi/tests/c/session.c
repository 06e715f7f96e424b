/* Sessions and their checks: options, outputs, structs of other releases, and what is refused. What
 * texts and options give is in tests/data/checks.toml. */
#include "test.h"

static const char BREAD[] = "How do I bake bread at home?";
enum { BREAD_SIZE = sizeof BREAD - 1, CATEGORIES = 12 };

/* A caller of a later release, whose structs have grown. */
typedef struct later_options {
    duoguard_options known;
    uint64_t added;
} later_options;
typedef struct later_input {
    duoguard_input known;
    uint64_t added;
} later_input;
typedef struct later_check_options {
    duoguard_check_options known;
    uint64_t added;
} later_check_options;
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
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "struct_size is 0",
                duoguard_session_new(model, &older, &session, &error));
    older.struct_size = 7;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "struct_size is 7",
                duoguard_session_new(model, &older, &session, &error));
    older.struct_size = UINT32_MAX;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "struct_size",
                duoguard_session_new(model, &older, &session, &error));
    CHECK(session == NULL);

    /* A newer caller: what it leaves at zero is fine, what it asks for cannot be had. */
    memset(&later, 0, sizeof later);
    later.known.struct_size = sizeof later;
    CHECK(duoguard_session_new(model, &later.known, &session, NULL) == DUOGUARD_OK);
    duoguard_session_free(session);
    session = NULL;
    later.added = 1;
    CHECK_FAILS(DUOGUARD_UNSUPPORTED, "newer library",
                duoguard_session_new(model, &later.known, &session, &error));
    CHECK(session == NULL);
}

void test_options(const char *folder) {
    duoguard_model *model = open_model(folder);
    duoguard_session *session = NULL;
    duoguard_options options = DUOGUARD_OPTIONS_INIT;

    CHECK(duoguard_session_new(model, NULL, &session, NULL) == DUOGUARD_OK);
    CHECK(strcmp(duoguard_session_engine(session), duoguard_engine_name(0)) == 0);
    CHECK(duoguard_session_engine(NULL) == NULL);
    duoguard_session_free(session);
    session = NULL;
    options.threads = 2;
    CHECK(duoguard_session_new(model, &options, &session, NULL) == DUOGUARD_OK);
    duoguard_session_free(session);
    session = NULL;

    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "model is NULL",
                duoguard_session_new(NULL, &options, &session, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "out is NULL",
                duoguard_session_new(model, &options, NULL, &error));
    options.threads = UINT32_MAX;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "at most 1024",
                duoguard_session_new(model, &options, &session, &error));
    options.threads = 0;
    options.engine = "steam";
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "steam",
                duoguard_session_new(model, &options, &session, &error));
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
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT, both = DUOGUARD_VERDICT_INIT;
    duoguard_input exchange = input_of(BREAD, BREAD_SIZE, "With flour.", 11);
    duoguard_error error;

    memset(&error, '#', sizeof error);
    CHECK(check_prompt(session, BREAD, BREAD_SIZE, scores, CATEGORIES, &verdict, &error) ==
          DUOGUARD_OK);
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
    CHECK(memchr(verdict.language, 0, sizeof verdict.language) != NULL);
    CHECK(verdict.language[0] != '\0');

    /* The same text, the same scores, whatever was checked in between. */
    CHECK(duoguard_session_check(session, &exchange, NULL, NULL, 0, &both, NULL) == DUOGUARD_OK);
    CHECK(both.tokens > verdict.tokens);
    CHECK(check_prompt(session, BREAD, BREAD_SIZE, again, CATEGORIES, NULL, NULL) == DUOGUARD_OK);
    CHECK(memcmp(scores, again, sizeof scores) == 0);
    /* The size decides, not a NUL at the end. */
    {
        const char letters[] = {'b', 'r', 'e', 'a', 'd'};
        CHECK(check_prompt(session, "bread", 5, scores, CATEGORIES, NULL, NULL) == DUOGUARD_OK);
        CHECK(check_prompt(session, letters, 5, again, CATEGORIES, NULL, NULL) == DUOGUARD_OK);
        CHECK(memcmp(scores, again, sizeof scores) == 0);
    }
    /* A pointer with size 0 is not followed. */
    CHECK(check_prompt(session, (const char *)1, 0, NULL, 0, &both, NULL) == DUOGUARD_OK);
    CHECK(both.tokens == 0 && both.top_category == -1 && strcmp(both.language, "und") == 0);
}

/* Zeros are the defaults: a struct that is cleared and then gets its size is as its macro says. */
static void test_zeros(duoguard_session *session) {
    duoguard_check_options options;
    duoguard_input input;
    duoguard_verdict expected = DUOGUARD_VERDICT_INIT, verdict = DUOGUARD_VERDICT_INIT;

    CHECK(check_prompt(session, BREAD, BREAD_SIZE, NULL, 0, &expected, NULL) == DUOGUARD_OK);
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    memset(&input, 0, sizeof input);
    input.struct_size = sizeof input;
    input.prompt = BREAD;
    input.prompt_size = BREAD_SIZE;
    CHECK(duoguard_session_check(session, &input, &options, NULL, 0, &verdict, NULL) ==
          DUOGUARD_OK);
    CHECK(memcmp(&verdict, &expected, sizeof verdict) == 0);
}

/* A failure writes no output, and a success none beyond what there is room for. */
static void test_outputs(duoguard_session *session) {
    float scores[CATEGORIES + 1];
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT, before;

    scores[CATEGORIES - 1] = scores[CATEGORIES] = 7.0f;
    verdict.tokens = 7;
    before = verdict;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "scores is NULL",
                check_prompt(session, BREAD, BREAD_SIZE, NULL, CATEGORIES, &verdict, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "score_count is 13",
                check_prompt(session, BREAD, BREAD_SIZE, scores, CATEGORIES + 1, &verdict, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "prompt is not UTF-8",
                check_prompt(session, "a\xff", 2, scores, CATEGORIES, &verdict, &error));
    CHECK(scores[CATEGORIES - 1] == 7.0f && memcmp(&verdict, &before, sizeof verdict) == 0);
    CHECK(check_prompt(session, BREAD, BREAD_SIZE, scores, CATEGORIES, &verdict, NULL) ==
          DUOGUARD_OK);
    CHECK(scores[CATEGORIES - 1] != 7.0f && scores[CATEGORIES] == 7.0f);
}

/* An older caller, whose struct ends earlier: what it does not have is not looked at. */
static void test_older_callers(duoguard_session *session) {
    duoguard_input input = input_of(BREAD, BREAD_SIZE, (const char *)1, 1);
    duoguard_check_options options = DUOGUARD_CHECK_OPTIONS_INIT;
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT, whole = DUOGUARD_VERDICT_INIT;

    CHECK(check_prompt(session, BREAD, BREAD_SIZE, NULL, 0, &whole, NULL) == DUOGUARD_OK);
    input.struct_size = offsetof(duoguard_input, response);
    CHECK(duoguard_session_check(session, &input, NULL, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
    CHECK(memcmp(&verdict, &whole, sizeof verdict) == 0);
    input.response = NULL;
    input.response_size = 0;
    input.language = (const char *)1;
    input.struct_size = offsetof(duoguard_input, language);
    CHECK(duoguard_session_check(session, &input, NULL, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
    CHECK(memcmp(&verdict, &whole, sizeof verdict) == 0);

    input = input_of(BREAD, BREAD_SIZE, NULL, 0);
    options.struct_size = offsetof(duoguard_check_options, thresholds);
    options.thresholds = (const float *)1;
    options.threshold_count = 1;
    CHECK(duoguard_session_check(session, &input, &options, NULL, 0, &verdict, NULL) ==
          DUOGUARD_OK);
    options.struct_size = offsetof(duoguard_check_options, max_tokens);
    options.max_tokens = 1;
    CHECK(duoguard_session_check(session, &input, &options, NULL, 0, &verdict, NULL) ==
          DUOGUARD_OK);
    CHECK(memcmp(&verdict, &whole, sizeof verdict) == 0);

    /* Not a byte is written beyond the caller's struct, or of a field that it has half of. */
    for (size_t size = offsetof(duoguard_verdict, tokens_scored);
         size < offsetof(duoguard_verdict, windows); size++) {
        verdict.struct_size = (uint32_t)size;
        verdict.tokens = verdict.tokens_scored = 7;
        CHECK(check_prompt(session, BREAD, BREAD_SIZE, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
        CHECK(verdict.struct_size == size);
        CHECK(verdict.tokens == whole.tokens && verdict.tokens_scored == 7);
    }
}

/* A newer caller: what this library does not know may be zero, and comes back as zero. */
static void test_newer_callers(duoguard_session *session) {
    later_input input;
    later_check_options options;
    later_verdict verdict;

    memset(&input, 0, sizeof input);
    input.known = input_of(BREAD, BREAD_SIZE, NULL, 0);
    input.known.struct_size = sizeof input;
    memset(&options, 0, sizeof options);
    options.known.struct_size = sizeof options;
    memset(&verdict, 0x55, sizeof verdict);
    verdict.known.struct_size = sizeof verdict;
    CHECK(duoguard_session_check(session, &input.known, &options.known, NULL, 0, &verdict.known,
                                 NULL) == DUOGUARD_OK);
    CHECK(verdict.known.windows == 1 && verdict.known.reserved == 0 && verdict.added == 0);
    options.added = 1;
    CHECK_FAILS(DUOGUARD_UNSUPPORTED, "check_options has 48 bytes",
                duoguard_session_check(session, &input.known, &options.known, NULL, 0,
                                       &verdict.known, &error));
    options.added = 0;
    input.added = 1;
    CHECK_FAILS(DUOGUARD_UNSUPPORTED, "input has 56 bytes",
                duoguard_session_check(session, &input.known, &options.known, NULL, 0,
                                       &verdict.known, &error));
}

/* A message that quotes too much is cut, at the border of a character. */
static void test_long_message(duoguard_session *session) {
    char tag[4001];
    duoguard_input input = input_of(BREAD, BREAD_SIZE, NULL, 0);
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    duoguard_error error;
    input.language = tag;
    for (size_t shift = 0; shift < 4; shift++) {
        size_t end = sizeof tag - 1;
        memset(tag, 'x', sizeof tag);
        for (size_t i = shift; i + 4 < end; i += 4)
            memcpy(tag + i, "\xf0\x9f\x8d\x9e", 4);
        tag[end] = '\0';
        memset(&error, '#', sizeof error);
        CHECK(duoguard_session_check(session, &input, NULL, NULL, 0, &verdict, &error) ==
              DUOGUARD_INVALID_ARGUMENT);
        CHECK(strlen(error.message) > 1000 && strlen(error.message) < DUOGUARD_MESSAGE_SIZE);
        CHECK(strstr(error.message, " [...] ") != NULL);
        /* Checked as UTF-8 by the one who must know. */
        CHECK(check_prompt(session, error.message, strlen(error.message), NULL, 0, &verdict,
                           NULL) == DUOGUARD_OK);
    }
}

void test_check(const char *folder) {
    duoguard_model *model = open_model(folder);
    duoguard_session *session = open_session(model);
    test_results(session);
    test_zeros(session);
    test_outputs(session);
    test_older_callers(session);
    test_newer_callers(session);
    test_long_message(session);
    duoguard_session_free(session);
    duoguard_model_free(model);
}
