/* Times checks through the C library: measure BUNDLE TEXT COUNT prints the median, in
 * nanoseconds. */
#define _POSIX_C_SOURCE 199309L
#include <duoguard.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

int main(int argc, char **argv) {
    duoguard_model *model = NULL;
    duoguard_session *session = NULL;
    duoguard_error error;
    float scores[64];
    int count = argc == 4 ? atoi(argv[3]) : 0;
    double *times = malloc((size_t)(count > 0 ? count : 1) * sizeof *times);
    if (count < 1 || times == NULL) {
        fprintf(stderr, "usage: measure BUNDLE TEXT COUNT\n");
        return 2;
    }
    if (duoguard_model_open(argv[1], &model, &error) != DUOGUARD_OK ||
        duoguard_session_new(model, NULL, &session, &error) != DUOGUARD_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 2;
    }
    for (int i = 0; i < count; i++) {
        duoguard_input input = DUOGUARD_INPUT_INIT;
        duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
        double started = now();
        input.prompt = argv[2];
        input.prompt_size = strlen(argv[2]);
        if (duoguard_session_check(session, &input, NULL, scores,
                                   duoguard_model_category_count(model), &verdict,
                                   &error) != DUOGUARD_OK) {
            fprintf(stderr, "%s\n", error.message);
            return 2;
        }
        times[i] = now() - started;
    }
    qsort(times, (size_t)count, sizeof *times, compare);
    printf("%.0f\n", times[count / 2]);
    duoguard_session_free(session);
    duoguard_model_free(model);
    free(times);
    return 0;
}
