/* A crypto card that is none: an engine of OpenSSL up to 3 that answers after a fixed time, for so many at once, and can
 * fail or fall silent. In an asynchronous job it pauses. The keys that it holds are named by files. Commands: DELAY_US,
 * PARALLEL; STATE, the name of a file that holds "fail", "hang" or "late" (in jobs alone) while it is to do that; and
 * ONLINE, which it takes only once it works. */
#define OPENSSL_SUPPRESS_DEPRECATED
#define _GNU_SOURCE
#include <fcntl.h>
#include <openssl/async.h>
#include <openssl/ec.h>
#include <openssl/engine.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static const char *id = "card", *name = "a card that is none";
static long delay_us = 5000, parallel = 256;
static char state_file[4096];

struct request {
    struct request *next;
    uint64_t due_ns;
    int fd, done;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct request *first, **last = &first;
static pthread_t thread;
static int running;
/* When each place of the card is free again. */
static uint64_t places[1024];

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void wait_until(uint64_t at_ns) {
    struct timespec t = {(time_t)(at_ns / 1000000000ull), (long)(at_ns % 1000000000ull)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* 'f' to fail, 'h' to hang, 'l' to hang in jobs alone, 0 to work. */
static char state(void) {
    char byte = 0;
    if (!state_file[0])
        return 0;
    int fd = open(state_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (read(fd, &byte, 1) != 1)
        byte = 0;
    close(fd);
    return byte == 'f' || byte == 'h' || byte == 'l' ? byte : 0;
}

/* Takes the place that is free first; returns when its answer comes. */
static uint64_t take_place(void) {
    uint64_t now = now_ns(), from;
    long best = 0;
    pthread_mutex_lock(&lock);
    for (long at = 1; at < parallel; at++)
        if (places[at] < places[best])
            best = at;
    from = places[best] > now ? places[best] : now;
    places[best] = from + (uint64_t)delay_us * 1000ull;
    from = places[best];
    pthread_mutex_unlock(&lock);
    return from;
}

static void *answer(void *unused) {
    (void)unused;
    /* A card has a processor of its own, and takes none from whoever asks it, where that can be had. */
    cpu_set_t all;
    CPU_ZERO(&all);
    for (int at = 0; at < CPU_SETSIZE; at++)
        CPU_SET(at, &all);
    pthread_setaffinity_np(pthread_self(), sizeof all, &all);
    for (;;) {
        pthread_mutex_lock(&lock);
        while (!first)
            pthread_cond_wait(&more, &lock);
        struct request *request = first;
        first = request->next;
        if (!first)
            last = &first;
        pthread_mutex_unlock(&lock);
        uint64_t one = 1;
        wait_until(request->due_ns);
        while (state() == 'h' || state() == 'l')
            usleep(10000);
        /* Whoever sees that it is done may be gone a moment later, and the descriptor with it. */
        pthread_mutex_lock(&lock);
        request->done = 1;
        if (write(request->fd, &one, sizeof one) != sizeof one)
            perror("card");
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static int is_done(struct request *request) {
    pthread_mutex_lock(&lock);
    int done = request->done;
    pthread_mutex_unlock(&lock);
    return done;
}

static void close_fd(ASYNC_WAIT_CTX *wait, const void *key, OSSL_ASYNC_FD fd, void *data) {
    (void)wait, (void)key, (void)data;
    close(fd);
}

/* The time that the card takes; 0 if it fails. */
static int work(void) {
    ASYNC_JOB *job = ASYNC_get_current_job();
    if (!job) {
        wait_until(take_place());
        while (state() == 'h')
            usleep(10000);
        return state() != 'f';
    }
    ASYNC_WAIT_CTX *wait = ASYNC_get_wait_ctx(job);
    OSSL_ASYNC_FD fd;
    void *data;
    if (!ASYNC_WAIT_CTX_get_fd(wait, id, &fd, &data)) {
        fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (fd < 0 || !ASYNC_WAIT_CTX_set_wait_fd(wait, id, fd, NULL, close_fd))
            return 0;
    }
    struct request request = {NULL, take_place(), fd, 0};
    pthread_mutex_lock(&lock);
    if (!running)
        running = pthread_create(&thread, NULL, answer, NULL) == 0;
    *last = &request;
    last = &request.next;
    pthread_cond_signal(&more);
    pthread_mutex_unlock(&lock);
    while (!is_done(&request))
        ASYNC_pause_job();
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0)
        return 0;
    return state() != 'f';
}

static int private_encrypt(int length, const unsigned char *from, unsigned char *to, RSA *rsa, int padding) {
    return work() ? RSA_meth_get_priv_enc(RSA_PKCS1_OpenSSL())(length, from, to, rsa, padding) : -1;
}

static int private_decrypt(int length, const unsigned char *from, unsigned char *to, RSA *rsa, int padding) {
    return work() ? RSA_meth_get_priv_dec(RSA_PKCS1_OpenSSL())(length, from, to, rsa, padding) : -1;
}

static int (*software_sign)(int, const unsigned char *, int, unsigned char *, unsigned int *, const BIGNUM *,
                            const BIGNUM *, EC_KEY *);
static int (*software_setup)(EC_KEY *, BN_CTX *, BIGNUM **, BIGNUM **);
static ECDSA_SIG *(*software_raw)(const unsigned char *, int, const BIGNUM *, const BIGNUM *, EC_KEY *);

static int ec_sign(int type, const unsigned char *digest, int length, unsigned char *signature, unsigned int *size,
                   const BIGNUM *inverse, const BIGNUM *r, EC_KEY *key) {
    return work() ? software_sign(type, digest, length, signature, size, inverse, r, key) : 0;
}

static RSA *held_rsa(ENGINE *engine, const RSA *of) {
    const BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *qi;
    RSA_get0_key(of, &n, &e, &d);
    RSA_get0_factors(of, &p, &q);
    RSA_get0_crt_params(of, &dp, &dq, &qi);
    RSA *rsa = RSA_new_method(engine);
    if (rsa && RSA_set0_key(rsa, BN_dup(n), BN_dup(e), BN_dup(d)) && RSA_set0_factors(rsa, BN_dup(p), BN_dup(q)) &&
        RSA_set0_crt_params(rsa, BN_dup(dp), BN_dup(dq), BN_dup(qi)))
        return rsa;
    RSA_free(rsa);
    return NULL;
}

static EC_KEY *held_ec(ENGINE *engine, const EC_KEY *of) {
    EC_KEY *ec = EC_KEY_new_method(engine);
    if (ec && EC_KEY_set_group(ec, EC_KEY_get0_group(of)) &&
        EC_KEY_set_private_key(ec, EC_KEY_get0_private_key(of)) &&
        EC_KEY_set_public_key(ec, EC_KEY_get0_public_key(of)))
        return ec;
    EC_KEY_free(ec);
    return NULL;
}

/* A key that only the card uses, whatever the engine is a default for. */
static EVP_PKEY *load_key(ENGINE *engine, const char *file, UI_METHOD *ui, void *data) {
    (void)ui, (void)data;
    BIO *bio = BIO_new_file(file, "r");
    EVP_PKEY *plain = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL, *key = EVP_PKEY_new();
    BIO_free(bio);
    int held = 0;
    if (plain && key && EVP_PKEY_get_base_id(plain) == EVP_PKEY_RSA) {
        RSA *rsa = held_rsa(engine, EVP_PKEY_get0_RSA(plain));
        held = rsa && EVP_PKEY_assign_RSA(key, rsa);
    } else if (plain && key && EVP_PKEY_get_base_id(plain) == EVP_PKEY_EC) {
        EC_KEY *ec = held_ec(engine, EVP_PKEY_get0_EC_KEY(plain));
        held = ec && EVP_PKEY_assign_EC_KEY(key, ec);
    }
    EVP_PKEY_free(plain);
    if (held)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

#define DELAY_US ENGINE_CMD_BASE
#define PARALLEL (ENGINE_CMD_BASE + 1)
#define STATE (ENGINE_CMD_BASE + 2)
#define ONLINE (ENGINE_CMD_BASE + 3)
static const ENGINE_CMD_DEFN commands[] = {
    {DELAY_US, "DELAY_US", "how long an answer takes", ENGINE_CMD_FLAG_NUMERIC},
    {PARALLEL, "PARALLEL", "how many it works on at once", ENGINE_CMD_FLAG_NUMERIC},
    {STATE, "STATE", "a file that says what is wrong with it", ENGINE_CMD_FLAG_STRING},
    {ONLINE, "ONLINE", "what it takes only once it works", ENGINE_CMD_FLAG_NO_INPUT},
    {0, NULL, NULL, 0},
};

static int begun;

static int control(ENGINE *engine, int command, long number, void *text, void (*function)(void)) {
    (void)engine, (void)function;
    switch (command) {
    case DELAY_US:
        delay_us = number;
        return 1;
    case PARALLEL:
        parallel = number < 1 ? 1 : number > 1024 ? 1024 : number;
        return 1;
    case STATE:
        snprintf(state_file, sizeof state_file, "%s", (const char *)text);
        return 1;
    case ONLINE:
        return begun;
    default:
        return 0;
    }
}

static int begin(ENGINE *engine) {
    (void)engine;
    begun = 1;
    return 1;
}

static int bind(ENGINE *engine, const char *asked) {
    if (asked && strcmp(asked, id))
        return 0;
    RSA_METHOD *rsa = RSA_meth_dup(RSA_PKCS1_OpenSSL());
    EC_KEY_METHOD *ec = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
    if (!rsa || !ec)
        return 0;
    RSA_meth_set1_name(rsa, name);
    RSA_meth_set_priv_enc(rsa, private_encrypt);
    RSA_meth_set_priv_dec(rsa, private_decrypt);
    EC_KEY_METHOD_get_sign(ec, &software_sign, &software_setup, &software_raw);
    EC_KEY_METHOD_set_sign(ec, ec_sign, software_setup, software_raw);
    return ENGINE_set_id(engine, id) && ENGINE_set_name(engine, name) && ENGINE_set_RSA(engine, rsa) &&
           ENGINE_set_EC(engine, ec) && ENGINE_set_init_function(engine, begin) &&
           ENGINE_set_ctrl_function(engine, control) && ENGINE_set_cmd_defns(engine, commands) &&
           ENGINE_set_load_privkey_function(engine, load_key);
}

IMPLEMENT_DYNAMIC_BIND_FN(bind)
IMPLEMENT_DYNAMIC_CHECK_FN()
