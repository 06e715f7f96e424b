/* Sixteen threads on one model, a session each: threads BUNDLE CHECKS. All must see the scores that
 * one thread alone saw. */
#define _POSIX_C_SOURCE 200809L
#include <duoguard.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 16, TEXTS = 4, CATEGORIES = 12 };

static const char *const TEXT[TEXTS] = {
    "How do I bake bread at home?",
    "Wie lange muss der Teig ruhen, bevor ich ihn forme und in den Ofen schiebe?",
    "Quel temps fera-t-il demain ?",
    "Write a short poem about the sea, the wind and a small boat that comes home in the evening.",
};

static const duoguard_model *model;
static float expected[TEXTS][CATEGORIES];
static long checks;

static duoguard_session *session_or_exit(void) {
    duoguard_session *session = NULL;
    duoguard_error error;
    if (duoguard_session_new(model, NULL, &session, &error) != DUOGUARD_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
    return session;
}

static int check(duoguard_session *session, size_t text, float *scores) {
    duoguard_input input = DUOGUARD_INPUT_INIT;
    duoguard_error error;
    input.prompt = TEXT[text];
    input.prompt_size = strlen(TEXT[text]);
    if (duoguard_session_check(session, &input, NULL, scores, CATEGORIES, NULL, &error) ==
        DUOGUARD_OK)
        return 1;
    fprintf(stderr, "%s\n", error.message);
    return 0;
}

static void *work(void *argument) {
    size_t first = *(size_t *)argument;
    duoguard_session *session = session_or_exit();
    long differing = 0;
    for (long i = 0; i < checks; i++) {
        float scores[CATEGORIES];
        size_t text = (first + (size_t)i) % TEXTS;
        if (!check(session, text, scores) || memcmp(scores, expected[text], sizeof scores) != 0)
            differing++;
    }
    duoguard_session_free(session);
    *(size_t *)argument = (size_t)differing;
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    size_t slots[THREADS], differing = 0;
    duoguard_model *opened = NULL;
    duoguard_session *session;
    if (argc != 3 || (checks = strtol(argv[2], NULL, 10)) <= 0 ||
        duoguard_model_open(argv[1], &opened, NULL) != DUOGUARD_OK) {
        fprintf(stderr, "usage: threads BUNDLE CHECKS\n");
        return 2;
    }
    model = opened;
    session = session_or_exit();
    for (size_t i = 0; i < TEXTS; i++)
        if (!check(session, i, expected[i]))
            return 2;
    for (size_t i = 0; i < THREADS; i++) {
        slots[i] = i;
        if (pthread_create(&threads[i], NULL, work, &slots[i]) != 0)
            return 2;
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        differing += slots[i];
    }
    duoguard_model_free(opened);
    duoguard_session_free(session);
    printf("threads: %d x %ld checks, %lu differ\n", THREADS, checks, (unsigned long)differing);
    return differing == 0 ? 0 : 1;
}
