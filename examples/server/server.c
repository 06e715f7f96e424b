/* A guard as a local service: server BUNDLE PORT THREADS
 *
 * One model, and one session per thread: each thread waits for a connection, answers its lines, and
 * waits for the next. A line is a prompt in UTF-8, of at most 65,535 bytes; a tab in it separates
 * the prompt from a response. Each is answered by one line:
 *
 *     safe TOP_SCORE
 *     unsafe TOP_SCORE CATEGORY
 *     error MESSAGE                   it was not checked: do not take it for safe
 *
 * It listens on 127.0.0.1 only; port 0 takes a free one. The port is printed when it is ready.
 * SIGINT and SIGTERM end it: lines that are being answered are answered, and everything is freed.
 * POSIX. */
#define _POSIX_C_SOURCE 200809L
#include <duoguard.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { LINE_SIZE = 65536, MAX_THREADS = 256, IDLE_SECONDS = 30 };

typedef struct worker {
    pthread_t thread;
    const duoguard_model *model; /* shared */
    duoguard_session *session;   /* its own */
    int listener;
    char line[LINE_SIZE];
} worker;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int asked_to_stop = 0;

static int stopping(void) {
    int answer;
    pthread_mutex_lock(&lock);
    answer = asked_to_stop;
    pthread_mutex_unlock(&lock);
    return answer;
}

static void stop(void) {
    pthread_mutex_lock(&lock);
    asked_to_stop = 1;
    pthread_mutex_unlock(&lock);
}

static void answer(worker *self, size_t size, FILE *to) {
    duoguard_input input = DUOGUARD_INPUT_INIT;
    duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
    duoguard_error error;
    char *tab = memchr(self->line, '\t', size);
    input.prompt = self->line;
    input.prompt_size = tab == NULL ? size : (size_t)(tab - self->line);
    if (tab != NULL) {
        input.response = tab + 1;
        input.response_size = size - input.prompt_size - 1;
    }
    if (duoguard_session_check(self->session, &input, NULL, NULL, 0, &verdict, &error) !=
        DUOGUARD_OK) {
        for (char *c = error.message; *c != '\0'; c++)
            if (*c == '\n' || *c == '\r')
                *c = ' ';
        fprintf(to, "error %s\n", error.message);
    } else if (verdict.flagged)
        fprintf(to, "unsafe %.6f %s\n", (double)verdict.top_score,
                duoguard_model_category_name(self->model, (size_t)verdict.top_category));
    else
        fprintf(to, "safe %.6f\n", (double)verdict.top_score);
    fflush(to);
}

/* Reads a line into `line`, without its end. Returns its size, LINE_SIZE if it is too long, or -1
 * when there are no more. NUL bytes count. */
static long read_line(FILE *from, char *line) {
    size_t size = 0;
    int c;
    while ((c = getc(from)) != EOF && c != '\n')
        if (size < LINE_SIZE)
            line[size++] = (char)c;
    return c == EOF && size == 0 ? -1 : (long)size;
}

static void serve(worker *self, int connection) {
    struct timeval idle = {IDLE_SECONDS, 0};
    int copy = dup(connection);
    FILE *from = fdopen(connection, "rb");
    FILE *to = copy < 0 ? NULL : fdopen(copy, "wb");
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
    while (from != NULL && to != NULL && !stopping() && !ferror(to)) {
        long size = read_line(from, self->line);
        if (size < 0)
            break;
        if (size == LINE_SIZE) {
            fprintf(to, "error the line is longer than %d bytes\n", LINE_SIZE - 1);
            fflush(to);
        } else
            answer(self, (size_t)size, to);
    }
    if (to != NULL)
        fclose(to);
    else if (copy >= 0)
        close(copy);
    if (from != NULL)
        fclose(from);
    else
        close(connection);
}

static void *work(void *argument) {
    worker *self = argument;
    while (!stopping()) {
        int connection = accept(self->listener, NULL, NULL);
        if (connection >= 0)
            serve(self, connection);
        else if (!stopping())
            perror("accept");
    }
    return NULL;
}

static int listen_on(unsigned port) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        perror("listen");
        exit(2);
    }
    printf("%u\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv) {
    duoguard_model *model = NULL;
    duoguard_error error;
    worker *workers;
    sigset_t ends;
    int signal_number, listener, result = 0;
    long count = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    long port = argc == 4 ? strtol(argv[2], NULL, 10) : -1;
    if (count < 1 || count > MAX_THREADS || port < 0 || port > 65535) {
        fprintf(stderr, "usage: server BUNDLE PORT THREADS (1 to %d)\n", MAX_THREADS);
        return 2;
    }
    /* Threads inherit this: only `sigwait` below sees the signals. A client that hangs up must not
     * end the server. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);

    if (duoguard_model_open(argv[1], &model, &error) != DUOGUARD_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 2;
    }
    workers = calloc((size_t)count, sizeof *workers);
    for (long i = 0; workers != NULL && i < count; i++)
        if (duoguard_session_new(model, NULL, &workers[i].session, &error) != DUOGUARD_OK) {
            fprintf(stderr, "%s\n", error.message);
            return 2;
        }
    if (workers == NULL)
        return 2;
    listener = listen_on((unsigned)port);
    for (long i = 0; i < count; i++) {
        workers[i].model = model;
        workers[i].listener = listener;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            fprintf(stderr, "cannot start thread %ld\n", i);
            return 2;
        }
    }

    sigwait(&ends, &signal_number);
    stop();
    shutdown(listener, SHUT_RDWR); /* wakes the threads that wait in accept */
    for (long i = 0; i < count; i++) {
        if (pthread_join(workers[i].thread, NULL) != 0)
            result = 1;
        duoguard_session_free(workers[i].session);
    }
    close(listener);
    free(workers);
    duoguard_model_free(model);
    return result;
}
