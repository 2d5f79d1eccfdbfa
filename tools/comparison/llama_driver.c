// Feeds given token ids to llama.cpp and times it: no sampling, no text of its own.
//
//   driver MODEL --tokenize TEXT            prints the ids of a text file, one a line
//   driver MODEL --ids FILE [OPTIONS] KIND:TOKENS:WARM ...
//
// KIND is `decode` (one token a call, logits after each) or `prefill` (in batches, logits after
// the last).  Every test starts from an empty context at the first id; WARM ids that follow the
// measured ones are run before, in the same way, and not counted.  Prints one JSON object a test:
// what was done when the deadline came counts as it is.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "llama.h"

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static double deadline = 1e300;
static bool is_late(void *unused) {
  (void)unused;
  return now() > deadline;
}

static void fail(const char *what, const char *which) {
  fprintf(stderr, "driver: %s%s%s\n", what, *which ? ": " : "", which);
  exit(1);
}

static void quiet(enum ggml_log_level level, const char *text, void *unused) {
  (void)unused;
  if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) fail("cannot open", path);
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char *text = malloc(*size + 1);
  if (!text || fread(text, 1, *size, file) != *size) fail("cannot read", path);
  text[*size] = 0;
  fclose(file);
  return text;
}

static int tokenize(const char *model_path, const char *text_path) {
  struct llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  struct llama_model *model = llama_model_load_from_file(model_path, params);
  if (!model) fail("cannot load the vocabulary", model_path);
  size_t size;
  char *text = read_file(text_path, &size);
  llama_token *ids = malloc((size + 1) * sizeof *ids);
  if (!ids) fail("out of memory", "");
  int count = llama_tokenize(llama_model_get_vocab(model), text, (int32_t)size, ids,
                             (int32_t)size + 1, false, false);
  if (count < 0) fail("cannot tokenize", text_path);
  for (int at = 0; at < count; at++) printf("%d\n", ids[at]);
  return 0;
}

static llama_token *read_ids(const char *path, size_t *count) {
  size_t size;
  char *text = read_file(path, &size), *at = text, *end;
  llama_token *ids = malloc((size / 2 + 1) * sizeof *ids);
  if (!ids) fail("out of memory", "");
  for (*count = 0;; at = end) {
    long id = strtol(at, &end, 10);
    if (end == at) break;
    ids[(*count)++] = (llama_token)id;
  }
  free(text);
  return ids;
}

// Returns how many ids were computed before the deadline.
static int feed(struct llama_context *context, llama_token *ids, int count, int batch) {
  llama_memory_clear(llama_get_memory(context), true);
  for (int at = 0; at < count; at += batch) {
    int size = count - at < batch ? count - at : batch;
    int code = llama_decode(context, llama_batch_get_one(ids + at, size));
    if (code == 2 || (code == 0 && is_late(NULL) && at + size < count)) {
      return code == 0 ? at + size : at;
    }
    if (code != 0) fail("llama_decode failed", "");
    // Reading a logit waits for the computation.
    if (!llama_get_logits_ith(context, -1)) fail("there are no logits", "");
  }
  return count;
}

int main(int argc, char **argv) {
  const char *ids_path = NULL, *load = "mmap";
  int threads = 2, ubatch = 512, first = 2;
  bool repack = false;
  double seconds = 1e9;
  if (argc < 4) fail("usage: driver MODEL --ids FILE [OPTIONS] KIND:TOKENS:WARM ...", "");
  llama_log_set(quiet, NULL);
  llama_backend_init();
  if (!strcmp(argv[2], "--tokenize")) return tokenize(argv[1], argv[3]);
  for (; first + 1 < argc && !strncmp(argv[first], "--", 2); first += 2) {
    const char *name = argv[first], *value = argv[first + 1];
    if (!strcmp(name, "--ids")) ids_path = value;
    else if (!strcmp(name, "--threads")) threads = atoi(value);
    else if (!strcmp(name, "--ubatch")) ubatch = atoi(value);
    else if (!strcmp(name, "--load")) load = value;
    else if (!strcmp(name, "--repack")) repack = atoi(value) != 0;
    else if (!strcmp(name, "--seconds")) seconds = atof(value);
    else fail("unknown option", name);
  }
  if (!ids_path) fail("--ids is missing", "");
  size_t available;
  llama_token *ids = read_ids(ids_path, &available);
  int longest = 0;
  for (int at = first; at < argc; at++) {
    int tokens = 0, warm = 0;
    char kind[16];
    if (sscanf(argv[at], "%15[a-z]:%d:%d", kind, &tokens, &warm) != 3) fail("not a test", argv[at]);
    if ((size_t)(tokens + warm) > available) fail("the text is too short for", argv[at]);
    if (tokens > longest) longest = tokens;
    if (warm > longest) longest = warm;
  }

  double start = now();
  struct llama_model_params model_params = llama_model_default_params();
  model_params.load_mode = llama_load_mode_from_str(load);
  model_params.use_extra_bufts = repack;
  struct llama_model *model = llama_model_load_from_file(argv[1], model_params);
  if (!model) fail("cannot load", argv[1]);
  struct llama_context_params params = llama_context_default_params();
  params.n_ctx = (uint32_t)longest;
  params.n_batch = params.n_ubatch = (uint32_t)ubatch;
  params.n_threads = params.n_threads_batch = threads;
  params.abort_callback = is_late;
  struct llama_context *context = llama_init_from_model(model, params);
  if (!context) fail("cannot make a context for", argv[1]);
  double load_seconds = now() - start;

  for (int at = first; at < argc; at++) {
    int tokens = 0, warm = 0;
    char kind[16];
    sscanf(argv[at], "%15[a-z]:%d:%d", kind, &tokens, &warm);
    int batch = strcmp(kind, "decode") ? ubatch : 1;
    deadline = now() + seconds;
    int warmed = warm ? feed(context, ids + tokens, warm, batch) : 0;
    start = now();
    deadline = start + seconds;
    int done = feed(context, ids, tokens, batch);
    double elapsed = now() - start;
    printf("{\"test\": \"%s:%d\", \"tokens\": %d, \"seconds\": %.6f, \"complete\": %s, "
           "\"warmed\": %d, \"load_seconds\": %.3f}\n",
           kind, tokens, done, elapsed, done == tokens ? "true" : "false", warmed, load_seconds);
    fflush(stdout);
  }
  return 0;
}
