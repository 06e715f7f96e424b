/* Prints verdicts to the last bit: scores BUNDLE ENGINE < TEXTS. A text is a line; a tab in it
 * separates the prompt from the response. The example `scores` of the crate prints the same through
 * the Rust API. */
#include <duoguard.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_bits(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    printf(" %08lx", (unsigned long)bits);
}

int main(int argc, char **argv) {
    static char line[65536];
    float scores[64];
    duoguard_model *model = NULL;
    duoguard_session *session = NULL;
    duoguard_options options = DUOGUARD_OPTIONS_INIT;
    duoguard_error error;
    size_t categories;
    if (argc != 3) {
        fprintf(stderr, "usage: scores BUNDLE ENGINE < TEXTS\n");
        return 2;
    }
    options.engine = argv[2];
    if (duoguard_model_open(argv[1], &model, &error) != DUOGUARD_OK ||
        duoguard_session_new(model, &options, &session, &error) != DUOGUARD_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 2;
    }
    categories = duoguard_model_category_count(model);
    if (categories > sizeof scores / sizeof scores[0])
        return 2;
    while (fgets(line, sizeof line, stdin) != NULL) {
        duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
        duoguard_input input = DUOGUARD_INPUT_INIT;
        size_t size = strcspn(line, "\n");
        char *tab = memchr(line, '\t', size);
        input.prompt = line;
        input.prompt_size = tab == NULL ? size : (size_t)(tab - line);
        if (tab != NULL) {
            input.response = tab + 1;
            input.response_size = size - input.prompt_size - 1;
        }
        if (duoguard_session_check(session, &input, NULL, scores, categories, &verdict, &error) !=
            DUOGUARD_OK) {
            fprintf(stderr, "%s\n", error.message);
            return 1;
        }
        printf("%lu %ld %lu %lu %lu %s", (unsigned long)verdict.flagged,
               (long)verdict.top_category, (unsigned long)verdict.tokens,
               (unsigned long)verdict.tokens_scored, (unsigned long)verdict.windows,
               verdict.language);
        print_bits(verdict.top_score);
        for (size_t i = 0; i < categories; i++)
            print_bits(scores[i]);
        printf("\n");
    }
    duoguard_session_free(session);
    duoguard_model_free(model);
    return 0;
}
