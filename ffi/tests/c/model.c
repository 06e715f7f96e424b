/* Versions, names, and models: opened, shared, freed, and refused. */
#include "test.h"

void test_versions(void) {
    char *end;
    CHECK(duoguard_abi_version() == DUOGUARD_ABI_VERSION);
    CHECK(strtol(duoguard_version(), &end, 10) >= 0 && *end == '.');

    CHECK(strcmp(duoguard_status_name(DUOGUARD_OK), "DUOGUARD_OK") == 0);
    CHECK(strcmp(duoguard_status_name(DUOGUARD_PANIC), "DUOGUARD_PANIC") == 0);
    CHECK(strcmp(duoguard_status_name(8), "unknown status") == 0);
    CHECK(strcmp(duoguard_status_name(INT32_MIN), "unknown status") == 0);

    CHECK(duoguard_engine_count() >= 1);
    CHECK(duoguard_engine_name(0)[0] != '\0');
    CHECK(duoguard_engine_name(duoguard_engine_count()) == NULL);
    CHECK(duoguard_engine_name(SIZE_MAX) == NULL);
    CHECK(duoguard_engine_available(0, NULL) == DUOGUARD_OK);
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "index", duoguard_engine_available(SIZE_MAX, &error));
    for (size_t i = 0; i < duoguard_engine_count(); i++) {
        duoguard_error error;
        duoguard_status status = duoguard_engine_available(i, &error);
        CHECK(status == DUOGUARD_OK ||
              (status == DUOGUARD_UNSUPPORTED &&
               strstr(error.message, duoguard_engine_name(i)) != NULL));
    }
}

static void test_names(const duoguard_model *model) {
    size_t count = duoguard_model_category_count(model);
    CHECK(count == 12);
    for (size_t i = 0; i < count; i++)
        CHECK(duoguard_model_category_name(model, i)[0] != '\0');
    CHECK(duoguard_model_category_name(model, count) == NULL);
    CHECK(duoguard_model_category_name(model, SIZE_MAX) == NULL);
    CHECK(duoguard_model_category_count(NULL) == 0);
    CHECK(duoguard_model_category_name(NULL, 0) == NULL);
}

static void test_open(const char *folder) {
    duoguard_model *first = open_model(folder), *second = open_model(folder), *none = NULL;
    duoguard_session *session = open_session(first);
    CHECK(first != second);
    test_names(first);

    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "path is NULL",
                duoguard_model_open(NULL, &none, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "out is NULL",
                duoguard_model_open(folder, NULL, &error));
    CHECK_FAILS(DUOGUARD_IO, "no/such/folder",
                duoguard_model_open("no/such/folder", &none, &error));
    CHECK(duoguard_model_open("", &none, NULL) == DUOGUARD_IO);
    CHECK(none == NULL);

    /* A model may go before its sessions, which go on working. */
    duoguard_model_free(first);
    {
        duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
        CHECK(check_prompt(session, "bread", 5, NULL, 0, &verdict, NULL) == DUOGUARD_OK);
        CHECK(verdict.tokens > 0);
        CHECK(strcmp(duoguard_session_engine(session), duoguard_engine_name(0)) == 0);
    }
    duoguard_model_free(second);
    duoguard_session_free(session);
    duoguard_session_free(NULL);
    duoguard_model_free(NULL);
}

static void test_open_memory(const char *folder) {
    bundle given = bundle_read(folder);
    duoguard_file more[FILES + 1], reversed[FILES], wrong[FILES];
    duoguard_model *model = NULL, *none = NULL;

    memcpy(more, given.files, sizeof given.files);
    more[FILES].name = "README.md";
    more[FILES].data = NULL;
    more[FILES].size = 0;
    for (size_t i = 0; i < FILES; i++)
        reversed[i] = given.files[FILES - 1 - i];
    CHECK(duoguard_model_open_memory(reversed, FILES, &model, NULL) == DUOGUARD_OK);
    duoguard_model_free(model);
    CHECK(duoguard_model_open_memory(more, FILES + 1, &model, NULL) == DUOGUARD_OK);

    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "manifest.json",
                duoguard_model_open_memory(NULL, 0, &none, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "files",
                duoguard_model_open_memory(NULL, 4, &none, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "files",
                duoguard_model_open_memory(given.files, SIZE_MAX, &none, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "out is NULL",
                duoguard_model_open_memory(given.files, FILES, NULL, &error));
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "weights.data",
                duoguard_model_open_memory(given.files, FILES - 1, &none, &error));
    memcpy(wrong, given.files, sizeof wrong);
    wrong[3] = wrong[2];
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "more than once",
                duoguard_model_open_memory(wrong, FILES, &none, &error));
    memcpy(wrong, given.files, sizeof wrong);
    wrong[1].name = NULL;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "files[1].name is NULL",
                duoguard_model_open_memory(wrong, FILES, &none, &error));
    wrong[1].name = "\xff";
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "files[1].name is not UTF-8",
                duoguard_model_open_memory(wrong, FILES, &none, &error));
    memcpy(wrong, given.files, sizeof wrong);
    wrong[2].data = NULL;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "model.onnx: data",
                duoguard_model_open_memory(wrong, FILES, &none, &error));
    CHECK(none == NULL);

    /* Without the graph for streams there is a model, whose streams have no cache. */
    memcpy(wrong, given.files, sizeof wrong);
    wrong[3] = wrong[4];
    CHECK(duoguard_model_open_memory(wrong, FILES - 1, &none, NULL) == DUOGUARD_OK);
    {
        duoguard_session *session = open_session(none);
        duoguard_stream *stream = NULL;
        CHECK(duoguard_stream_new(session, NULL, &stream, NULL) == DUOGUARD_OK);
        CHECK(duoguard_stream_uses_cache(stream) == 0);
        duoguard_stream_free(stream);
        duoguard_session_free(session);
        duoguard_model_free(none);
    }

    /* The files were copied. */
    bundle_free(&given);
    {
        duoguard_session *session = open_session(model);
        float scores[12];
        CHECK(check_prompt(session, "bread", 5, scores, 12, NULL, NULL) == DUOGUARD_OK);
        duoguard_session_free(session);
        duoguard_model_free(model);
    }
}

/* The tests' bundle is not signed; what a signature does is tested in Rust. */
static void test_signature(const char *folder) {
    /* The key of minisign's own documentation. */
    const char *key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    bundle given = bundle_read(folder);
    duoguard_file more[FILES + 1];
    duoguard_model_options options = DUOGUARD_MODEL_OPTIONS_INIT;
    duoguard_model *model = NULL, *none = NULL;

    CHECK(duoguard_model_open_with(folder, &options, &model, NULL) == DUOGUARD_OK);
    duoguard_model_free(model);
    CHECK(duoguard_model_open_memory_with(given.files, FILES, NULL, &model, NULL) == DUOGUARD_OK);
    duoguard_model_free(model);

    options.public_key = key;
    CHECK_FAILS(DUOGUARD_INVALID_MODEL, "not signed",
                duoguard_model_open_with(folder, &options, &none, &error));
    CHECK_FAILS(DUOGUARD_INVALID_MODEL, "not signed",
                duoguard_model_open_memory_with(given.files, FILES, &options, &none, &error));
    memcpy(more, given.files, sizeof given.files);
    more[FILES].name = "manifest.json.minisig";
    more[FILES].data = key;
    more[FILES].size = strlen(key);
    CHECK_FAILS(DUOGUARD_INVALID_MODEL, "manifest.json.minisig",
                duoguard_model_open_memory_with(more, FILES + 1, &options, &none, &error));
    options.public_key = "no key";
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "public key",
                duoguard_model_open_with(folder, &options, &none, &error));
    options.public_key = NULL;
    options.reserved = 1;
    CHECK_FAILS(DUOGUARD_UNSUPPORTED, "reserved",
                duoguard_model_open_with(folder, &options, &none, &error));
    options.reserved = 0;
    options.struct_size = 4;
    CHECK_FAILS(DUOGUARD_INVALID_ARGUMENT, "struct_size",
                duoguard_model_open_with(folder, &options, &none, &error));
    CHECK(none == NULL);
    bundle_free(&given);
}

void test_model(const char *folder) {
    test_open(folder);
    test_signature(folder);
    test_open_memory(folder);
}

/* Both ways of opening refuse the bundle, and name the file. */
static void refused(const bundle *damaged, const char *work, const char *words) {
    duoguard_model *none = NULL;
    bundle_write(damaged, work);
    CHECK_FAILS(DUOGUARD_INVALID_MODEL, words,
                duoguard_model_open_memory(damaged->files, FILES, &none, &error));
    CHECK_FAILS(DUOGUARD_INVALID_MODEL, words, duoguard_model_open(work, &none, &error));
    CHECK(none == NULL);
}

void test_damage(const char *folder, const char *work) {
    bundle given = bundle_read(folder);
    for (size_t i = 0; i < FILES; i++) {
        const char *name = given.files[i].name;
        size_t size = given.files[i].size;
        const size_t places[] = {0, size / 2};
        for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
            /* The manifest alone has no checksum: the highest bit makes it something else than JSON
             * in UTF-8. */
            given.data[i][places[j]] ^= 0x80;
            refused(&given, work, name);
            given.data[i][places[j]] ^= 0x80;
        }
        given.files[i].size = i % 2 == 0 ? 0 : size - 1;
        refused(&given, work, name);
        given.files[i].size = size;
    }
    bundle_free(&given);
}
