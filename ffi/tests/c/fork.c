/* A process that forks after it used the library: fork BUNDLE ENGINE. The child opens everything
 * anew, and uses the session from before as well; none of it may hang, and scores are those of the
 * parent. */
#define _POSIX_C_SOURCE 200809L
#include <duoguard.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CATEGORIES = 12, MAX_SECONDS = 60 };

static const char TEXT[] =
    "Write a short poem about the sea, the wind and a small boat that comes home in the evening, "
    "and read it to the others when the bread is in the oven and the soup is on the table.";

static duoguard_model *model_or_exit(const char *bundle) {
    duoguard_model *model = NULL;
    duoguard_error error;
    if (duoguard_model_open(bundle, &model, &error) != DUOGUARD_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
    return model;
}

static duoguard_session *session_or_exit(duoguard_model *model, const char *engine,
                                         uint32_t threads) {
    duoguard_options options = DUOGUARD_OPTIONS_INIT;
    duoguard_session *session = NULL;
    duoguard_error error;
    options.engine = engine;
    options.threads = threads;
    if (duoguard_session_new(model, &options, &session, &error) != DUOGUARD_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
    return session;
}

static void check_or_exit(duoguard_session *session, float *scores) {
    duoguard_input input = DUOGUARD_INPUT_INIT;
    duoguard_error error;
    input.prompt = TEXT;
    input.prompt_size = strlen(TEXT);
    if (duoguard_session_check(session, &input, NULL, scores, CATEGORIES, NULL, &error) !=
        DUOGUARD_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
}

static int is_expected(const float *scores, const float *expected) {
    return expected == NULL || memcmp(scores, expected, CATEGORIES * sizeof *scores) == 0;
}

/* Forks, before this process has any session or after; whether the child did all that it should.
 * Scores are not compared where none are expected. */
static int forks(const char *bundle, const char *engine, uint32_t threads,
                 duoguard_session *before, const float *expected) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        float scores[CATEGORIES];
        int fits;
        /* A child that hangs is killed by this. */
        alarm(MAX_SECONDS);
        duoguard_model *model = model_or_exit(bundle);
        duoguard_session *session = session_or_exit(model, engine, threads);
        check_or_exit(session, scores);
        fits = is_expected(scores, expected);
        duoguard_session_free(session);
        duoguard_model_free(model);
        if (before != NULL) {
            check_or_exit(before, scores);
            fits &= is_expected(scores, expected);
        }
        _exit(fits ? 0 : 1);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    if (status != 0)
        fprintf(stderr, "%u threads, %s session before the fork: the child ended with %d\n",
                (unsigned)threads, before == NULL ? "no" : "a", status);
    return status == 0;
}

int main(int argc, char **argv) {
    static const uint32_t THREADS[] = {1, 4};
    enum { COUNTS = sizeof THREADS / sizeof THREADS[0] };
    duoguard_model *model;
    int passes = 1;
    if (argc != 3) {
        fprintf(stderr, "usage: fork BUNDLE ENGINE\n");
        return 2;
    }
    for (size_t i = 0; i < COUNTS; i++)
        passes &= forks(argv[1], argv[2], THREADS[i], NULL, NULL);
    model = model_or_exit(argv[1]);
    for (size_t i = 0; i < COUNTS; i++) {
        float expected[CATEGORIES];
        duoguard_session *before = session_or_exit(model, argv[2], THREADS[i]);
        check_or_exit(before, expected);
        for (size_t j = 0; j < COUNTS; j++)
            passes &= forks(argv[1], argv[2], THREADS[j], before, expected);
        duoguard_session_free(before);
    }
    duoguard_model_free(model);
    if (passes)
        printf("children with engine %s check as their parent does\n", argv[2]);
    return passes ? 0 : 1;
}
