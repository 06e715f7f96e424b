/* Is a text unsafe? check BUNDLE PROMPT [RESPONSE]
 *
 * Exits with 0 when it is safe, 1 when it is not, 2 when it was not checked. */
#include <duoguard.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int not_checked(const duoguard_error *error) {
    fprintf(stderr, "not checked: %s\n", error->message);
    return 2;
}

static int report(const duoguard_model *model, const duoguard_session *session,
                  const duoguard_verdict *verdict, const float *scores) {
    printf("%s (language %s, %lu tokens, engine %s)\n", verdict->flagged ? "unsafe" : "safe",
           verdict->language, (unsigned long)verdict->tokens, duoguard_session_engine(session));
    for (size_t i = 0; i < duoguard_model_category_count(model); i++)
        printf("  %.3f %s\n", (double)scores[i], duoguard_model_category_name(model, i));
    return verdict->flagged ? 1 : 0;
}

static int check(const duoguard_model *model, duoguard_session *session, const char *prompt,
                 const char *response) {
    duoguard_input input = DUOGUARD_INPUT_INIT;
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    duoguard_error error;
    size_t count = duoguard_model_category_count(model);
    float *scores = malloc(count * sizeof *scores);
    int result = 2;
    input.prompt = prompt;
    input.prompt_size = strlen(prompt);
    if (response != NULL) {
        input.response = response;
        input.response_size = strlen(response);
    }
    if (scores == NULL)
        fprintf(stderr, "not checked: out of memory\n");
    else if (duoguard_session_check(session, &input, NULL, scores, count, &verdict, &error) !=
             DUOGUARD_OK)
        result = not_checked(&error);
    else
        result = report(model, session, &verdict, scores);
    free(scores);
    return result;
}

int main(int argc, char **argv) {
    duoguard_model *model = NULL;
    duoguard_session *session = NULL;
    duoguard_error error;
    int result;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: check BUNDLE PROMPT [RESPONSE]\n");
        return 2;
    }
    if (duoguard_model_open(argv[1], &model, &error) != DUOGUARD_OK ||
        duoguard_session_new(model, NULL, &session, &error) != DUOGUARD_OK)
        result = not_checked(&error);
    else
        result = check(model, session, argv[2], argv[3]);
    duoguard_session_free(session);
    duoguard_model_free(model);
    return result;
}
