/* A key store that is none: a provider of OpenSSL 3 that finds keys in a folder. The parameter "folder" names it; the URI
 * "kept:NAME" is a key in it. */
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char scheme[] = "kept:";
static char folder[2048];

struct store {
    char file[4096];
    int over;
};

static void *store_open(void *provider, const char *uri) {
    (void)provider;
    struct store *store = strncmp(uri, scheme, sizeof scheme - 1) ? NULL : calloc(1, sizeof *store);
    if (store)
        snprintf(store->file, sizeof store->file, "%s/%s", folder, uri + sizeof scheme - 1);
    return store;
}

static int store_set(void *of, const OSSL_PARAM parameters[]) {
    (void)of, (void)parameters;
    return 1;
}

static int store_load(void *of, OSSL_CALLBACK *found, void *found_argument, OSSL_PASSPHRASE_CALLBACK *ask,
                      void *ask_argument) {
    (void)ask, (void)ask_argument;
    struct store *store = of;
    char bytes[8192];
    store->over = 1;
    FILE *file = fopen(store->file, "r");
    if (!file)
        return 0;
    size_t length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    int kind = OSSL_OBJECT_PKEY;
    OSSL_PARAM object[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &kind),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, bytes, length),
        OSSL_PARAM_construct_end(),
    };
    return found(object, found_argument);
}

static int store_over(void *of) {
    return ((struct store *)of)->over;
}

static int store_close(void *of) {
    free(of);
    return 1;
}

static const OSSL_DISPATCH store_functions[] = {
    {OSSL_FUNC_STORE_OPEN, (void (*)(void))store_open},
    {OSSL_FUNC_STORE_SET_CTX_PARAMS, (void (*)(void))store_set},
    {OSSL_FUNC_STORE_LOAD, (void (*)(void))store_load},
    {OSSL_FUNC_STORE_EOF, (void (*)(void))store_over},
    {OSSL_FUNC_STORE_CLOSE, (void (*)(void))store_close},
    {0, NULL},
};

static const OSSL_ALGORITHM stores[] = {{"kept", "provider=keeper", store_functions, "a folder"}, {NULL, NULL, NULL, NULL}};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache) {
    (void)provider;
    *no_cache = 0;
    return operation == OSSL_OP_STORE ? stores : NULL;
}

static const OSSL_DISPATCH functions[] = {
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
    {0, NULL},
};

int OSSL_provider_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                       void **provider) {
    char *named = NULL;
    OSSL_PARAM wanted[] = {
        OSSL_PARAM_construct_utf8_ptr("folder", &named, 0),
        OSSL_PARAM_construct_end(),
    };
    for (; in->function_id; in++)
        if (in->function_id == OSSL_FUNC_CORE_GET_PARAMS)
            OSSL_FUNC_core_get_params(in)(core, wanted);
    if (!named)
        return 0;
    snprintf(folder, sizeof folder, "%s", named);
    *out = functions;
    *provider = folder;
    return 1;
}
