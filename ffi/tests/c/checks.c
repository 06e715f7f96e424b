/* The C door of the suite of checks: checks BUNDLE [ENGINE] < CASES. Each line of
 * input is a case, each line of output what the library said to it, in JSON. The test `checks` of
 * the crate writes the one and reads the other.
 *
 * A case is `key=value` pairs between tabs: the fields of the header's structs by their names, text
 * in hexadecimal digits, floats as the digits of their bits. What is not named has its default; no
 * options at all are NULL. Keys beside the fields are what a wrong caller does:
 *     input_size, options_size, verdict_size    their struct_size
 *     score_count                               how much room is said to be for scores
 *     null                                      `session`, `input` or `outputs` are NULL */
#include <duoguard.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CATEGORIES = 64, LINE_SIZE = 16 * 1024 * 1024 };

typedef struct check {
    duoguard_input input;
    duoguard_check_options options;
    int has_options;
    uint32_t verdict_size;
    size_t score_count;
    float thresholds[MAX_CATEGORIES];
    char null; /* the first letter of what is NULL */
} check;

static duoguard_model *model = NULL;
static duoguard_session *session = NULL;
static size_t categories;

static void stop(const char *why) {
    fprintf(stderr, "checks: %s\n", why);
    exit(2);
}

/* Turns hexadecimal digits into bytes, where they stand, with a NUL behind them. */
static char *text(char *digits, size_t *size) {
    size_t count = strlen(digits) / 2;
    for (size_t i = 0; i < count; i++) {
        char pair[3] = {digits[2 * i], digits[2 * i + 1], '\0'};
        char *end;
        digits[i] = (char)strtoul(pair, &end, 16);
        if (end != pair + 2)
            stop("a text is not in hexadecimal digits");
    }
    digits[count] = '\0';
    *size = count;
    return digits;
}

static float number(const char *digits, char **end) {
    uint32_t bits = (uint32_t)strtoul(digits, end, 16);
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static void read_thresholds(check *check, char *value) {
    size_t count = 0;
    while (*value != '\0' && count < MAX_CATEGORIES) {
        check->thresholds[count++] = number(value, &value);
        value += *value == ',';
    }
    check->options.thresholds = check->thresholds;
    check->options.threshold_count = count;
}

/* Sets what one pair says; the values of numbers are decimal. */
static void set(check *check, const char *key, char *value) {
    unsigned long long integer = strtoull(value, NULL, 10);
    size_t size;
    int is_option = 1;
    if (strcmp(key, "options_size") == 0)
        check->options.struct_size = (uint32_t)integer;
    else if (strcmp(key, "join") == 0)
        check->options.join = (uint32_t)integer;
    else if (strcmp(key, "max_tokens") == 0)
        check->options.max_tokens = integer;
    else if (strcmp(key, "target_fpr") == 0)
        check->options.target_fpr = number(value, NULL);
    else if (strcmp(key, "literal") == 0)
        check->options.literal = (uint32_t)integer;
    else if (strcmp(key, "thresholds") == 0)
        read_thresholds(check, value);
    else if (strcmp(key, "threshold_count") == 0)
        check->options.threshold_count = (size_t)integer;
    else
        is_option = 0;
    check->has_options |= is_option;
    if (is_option)
        return;
    if (strcmp(key, "prompt") == 0)
        check->input.prompt = text(value, &check->input.prompt_size);
    else if (strcmp(key, "prompt_size") == 0)
        check->input.prompt_size = (size_t)integer;
    else if (strcmp(key, "response") == 0)
        check->input.response = text(value, &check->input.response_size);
    else if (strcmp(key, "response_size") == 0)
        check->input.response_size = (size_t)integer;
    else if (strcmp(key, "language") == 0)
        check->input.language = text(value, &size);
    else if (strcmp(key, "input_size") == 0)
        check->input.struct_size = (uint32_t)integer;
    else if (strcmp(key, "reserved") == 0)
        check->input.reserved = (uint32_t)integer;
    else if (strcmp(key, "verdict_size") == 0)
        check->verdict_size = (uint32_t)integer;
    else if (strcmp(key, "score_count") == 0)
        check->score_count = (size_t)integer;
    else if (strcmp(key, "null") == 0)
        check->null = value[0];
    else
        stop(key);
}

static void print_message(const char *message) {
    printf(",\"message\":\"");
    for (; *message != '\0'; message++) {
        if (*message == '"' || *message == '\\')
            putchar('\\');
        if ((unsigned char)*message < 0x20)
            printf("\\u%04x", (unsigned)*message);
        else
            putchar(*message);
    }
    printf("\"");
}

static unsigned long bits(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return (unsigned long)bits;
}

static void print_verdict(const duoguard_verdict *verdict, const float *scores) {
    printf(",\"flagged\":%lu,\"top_category\":%ld,\"top_score\":%lu,\"tokens\":%llu,"
           "\"tokens_scored\":%llu,\"windows\":%lu,\"language\":\"%s\",\"span_in_response\":%lu,"
           "\"span_begin\":%llu,\"span_end\":%llu,\"coverage_partial\":%lu,\"reserved\":%lu,"
           "\"scores\":[",
           (unsigned long)verdict->flagged, (long)verdict->top_category, bits(verdict->top_score),
           (unsigned long long)verdict->tokens, (unsigned long long)verdict->tokens_scored,
           (unsigned long)verdict->windows, verdict->language,
           (unsigned long)verdict->span_in_response, (unsigned long long)verdict->span_begin,
           (unsigned long long)verdict->span_end, (unsigned long)verdict->coverage_partial,
           (unsigned long)verdict->reserved);
    for (size_t i = 0; i < categories; i++)
        printf("%s%lu", i == 0 ? "" : ",", bits(scores[i]));
    printf("]");
}

/* Whether a stream of the same text, checked in the same way, ends with the same verdict. */
static int stream_agrees(const check *check, const duoguard_verdict *verdict, const float *scores) {
    duoguard_stream_options options = DUOGUARD_STREAM_OPTIONS_INIT;
    duoguard_verdict found = DUOGUARD_VERDICT_INIT;
    duoguard_stream *stream = NULL;
    float found_scores[MAX_CATEGORIES];
    const duoguard_input *input = &check->input;
    int is_response = input->response != NULL;
    const char *piece = is_response ? input->response : input->prompt;
    size_t size = is_response ? input->response_size : input->prompt_size;
    uint32_t judged;
    int agrees;
    if (is_response) {
        options.prompt = input->prompt == NULL ? "" : input->prompt;
        options.prompt_size = input->prompt_size;
    }
    options.language = input->language;
    options.check = check->has_options ? &check->options : NULL;
    options.debounce_bytes = SIZE_MAX;
    agrees = duoguard_stream_new(session, &options, &stream, NULL) == DUOGUARD_OK &&
             duoguard_stream_push(stream, session, piece, size, &judged, NULL, 0, &found, NULL) ==
                 DUOGUARD_OK &&
             judged == 0 &&
             duoguard_stream_finish(stream, session, found_scores, categories, &found, NULL) ==
                 DUOGUARD_OK &&
             memcmp(&found, verdict, sizeof found) == 0 &&
             memcmp(found_scores, scores, categories * sizeof *scores) == 0;
    duoguard_stream_free(stream);
    return agrees;
}

static void run(const check *check) {
    float scores[MAX_CATEGORIES], scores_before[MAX_CATEGORIES];
    duoguard_verdict verdict, verdict_before;
    duoguard_error error;
    duoguard_status status;
    int no_outputs = check->null == 'o';
    memset(scores, 0x55, sizeof scores);
    memset(&verdict, 0x55, sizeof verdict);
    verdict.struct_size = check->verdict_size;
    memcpy(scores_before, scores, sizeof scores);
    memcpy(&verdict_before, &verdict, sizeof verdict);
    memset(&error, 0, sizeof error);
    status = duoguard_session_check(check->null == 's' ? NULL : session,
                                    check->null == 'i' ? NULL : &check->input,
                                    check->has_options ? &check->options : NULL,
                                    no_outputs ? NULL : scores,
                                    no_outputs ? 0 : check->score_count,
                                    no_outputs ? NULL : &verdict, &error);
    printf("{\"status\":\"%s\"", duoguard_status_name(status));
    if (status != DUOGUARD_OK) {
        print_message(error.message);
        printf(",\"as_before\":%d", memcmp(scores, scores_before, sizeof scores) == 0 &&
                                        memcmp(&verdict, &verdict_before, sizeof verdict) == 0);
    } else {
        print_verdict(&verdict, scores);
        printf(",\"stream_agrees\":%d", stream_agrees(check, &verdict, scores));
    }
    printf("}\n");
}

static void read_case(check *check, char *line) {
    duoguard_input input = DUOGUARD_INPUT_INIT;
    duoguard_check_options options = DUOGUARD_CHECK_OPTIONS_INIT;
    memset(check, 0, sizeof *check);
    check->input = input;
    check->options = options;
    check->verdict_size = sizeof(duoguard_verdict);
    check->score_count = categories;
    for (char *pair = strtok(line, "\t\n"); pair != NULL; pair = strtok(NULL, "\t\n")) {
        char *value = strchr(pair, '=');
        if (value == NULL)
            stop("a pair has no =");
        *value = '\0';
        set(check, pair, value + 1);
    }
}

int main(int argc, char **argv) {
    duoguard_options options = DUOGUARD_OPTIONS_INIT;
    duoguard_error error;
    char *line = malloc(LINE_SIZE);
    check check;
    if (argc < 2 || argc > 3 || line == NULL)
        stop("usage: checks BUNDLE [ENGINE] < CASES");
    /* The embedded engine, unless another is named. */
    options.engine = argc == 3 ? argv[2] : duoguard_engine_name(0);
    if (duoguard_model_open(argv[1], &model, &error) != DUOGUARD_OK ||
        duoguard_session_new(model, &options, &session, &error) != DUOGUARD_OK)
        stop(error.message);
    categories = duoguard_model_category_count(model);
    if (categories > MAX_CATEGORIES)
        stop("the model has more categories than there is room for");
    while (fgets(line, LINE_SIZE, stdin) != NULL) {
        read_case(&check, line);
        run(&check);
    }
    duoguard_session_free(session);
    duoguard_model_free(model);
    free(line);
    return 0;
}
