/* Attention with its statistics on a CPU, and sums of exact weights, in one parallel region.

   Products are sgemm_, and threads those of PyTorch's own OpenMP; the caller passes both, so this file
   links to neither. A row keeps its maximum m and, with z = (s − m) log2(e), the sums l = Σ 2^z and
   t = Σ 2^z z. When m rises, z falls by δ for every key before, and the sums become those of z − δ. The
   key with the largest score counts apart as exactly 1, so that the entropy of a row that sees little
   else stays exact.

   Every pointer in Call is row-major with the strides next to it, in elements; the last dimension has
   stride 1. Nothing here needs -ffast-math, and NaN and infinity mean what they mean in IEEE 754. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 512 /* of a block: a row of its scores is 2 KiB */
#define LOWEST -126.0f /* exponents below count as a weight of 0 */
#define INLINE static inline __attribute__((always_inline))

static const double LN2 = 0.69314718055994530942;
static const float LOG2E = 1.44269504088896340736f;

/* Integers are 64 bits wide: sgemm_ reads their lower or all bytes on a little-endian machine. */
typedef void Product(const char *, const char *, const int64_t *, const int64_t *, const int64_t *,
                     const float *, const float *, const int64_t *, const float *, const int64_t *,
                     const float *, float *, const int64_t *);
typedef void Fork(void (*)(void *), void *, unsigned, unsigned);

enum { FLOAT32, BFLOAT16, FLOAT16 };

typedef struct {
  const void *data;
  int64_t batch, head, row; /* strides */
} Rows;

typedef struct {
  Product *product;
  Fork *fork; /* GOMP_parallel */
  int64_t threads, type;
  int64_t batches, heads, group, queries, keys, dim, width, offset, block;
  float scale, softcap; /* softcap 0: none */
  Rows q, k, v, out;
  const float *slopes, *sinks; /* [heads] or NULL */
  const int64_t *first, *stop; /* keys that each query can see, [1 or batches, queries] */
  const int64_t *segments, *own; /* of keys [batches, keys] and of queries [batches, queries], or NULL */
  const int64_t *starts; /* first key that is not padding, [1 or batches] */
  int64_t first_batch, starts_batch; /* strides of these */
  float *lse, *entropy, *max_prob, *varentropy, *distance, *sink_mass, *sink_prob, *max_logit;
  int32_t *top_key; /* each [batches, heads, queries] or NULL */
  float *tiles; /* sums of weights: [batches, heads or 1, tile rows, tile columns] */
  int64_t tile_rows, tile_keys, mean, entropies; /* keys and queries per tile; over heads; −p log2 p */
  int64_t bins, first_keys; /* for sums by distance, as add_distances has them; bins 0: none */
  int64_t *spans; /* of each block of queries, see `find_spans` */
  int64_t next; /* piece of work that no thread has taken yet */
  int64_t failed; /* whether memory ran out */
} Call;

int64_t call_size(void) { return sizeof(Call); }

/* A row's running sums. */
typedef struct {
  double l, t, u, far, early;
  float m;
  int64_t top;
} Sums;

/* Where a block's query stands: its position and segment, and the keys first … stop − 1 of the block. */
typedef struct {
  int64_t position, segment, first, stop;
} Row;

/* Memory of one thread. */
typedef struct {
  float *scores; /* [block, KEYS] */
  float *q, *k, *v; /* rows in float32, where the tensors have another type */
  float *values; /* weighted values [block, width], or sums of weights [KEYS] */
  Sums *sums; /* [block] */
  Row *rows; /* [block] */
} Space;

INLINE float power(float x) { /* 2^x for x from LOWEST to 128, within 3 · 2^-24 of it */
  float shifted = x + 12582912.0f; /* 1.5 · 2^23: the nearest integer is in the lower bits */
  float f = x - (shifted - 12582912.0f);
  float p = 1.326472731e-3f;
  p = p * f + 9.671512991e-3f;
  p = p * f + 5.550733581e-2f;
  p = p * f + 2.402224243e-1f;
  p = p * f + 6.931470037e-1f;
  p = p * f + 1.0f;
  union { float value; uint32_t bits; } n = {shifted}, factor;
  factor.bits = (n.bits + 127u) << 23;
  return p * factor.value;
}

static float power_any(float x) { return x < LOWEST ? 0.0f : power(x); } /* x ≤ 0, or NaN */

#define SMALL 0.625f /* below it a tangent is a polynomial (coefficients: Cephes, S. Moshier) */

INLINE float small_tangent(float x) { /* tanh x */
  float s = x * x, p = -5.70498872745e-3f;
  p = p * s + 2.06390887954e-2f;
  p = p * s - 5.37397155531e-2f;
  p = p * s + 1.33314422036e-1f;
  p = p * s - 3.33332819422e-1f;
  return p * s * x + x;
}

INLINE float tangent(float x) { /* tanh x */
  float a = fabsf(x), z = -2.0f * LOG2E * a;
  float e = power(z < LOWEST ? LOWEST : z); /* e^(−2a) */
  float y = (1.0f - e) / (1.0f + e);
  return a < SMALL ? small_tangent(x) : x < 0.0f ? -y : y;
}

/* Replace scores by top · tanh(score · inverse), mostly without exponentials: caps are large. */
static void bend(float *s, int64_t n, float inverse, float top) {
  float high = 0;
#pragma omp simd reduction(max : high)
  for (int64_t j = 0; j < n; j++) high = fabsf(s[j]) > high ? fabsf(s[j]) : high;
  if (high * inverse < SMALL)
    for (int64_t j = 0; j < n; j++) s[j] = top * small_tangent(s[j] * inverse);
  else
    for (int64_t j = 0; j < n; j++) s[j] = top * tangent(s[j] * inverse);
}

static int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static void widen(float *to, const void *from, int64_t type, int64_t n) {
  const uint16_t *bits = from;
  if (type == FLOAT32) {
    memcpy(to, from, (size_t)n * sizeof(float));
  } else if (type == BFLOAT16) {
    uint32_t *out = (uint32_t *)to;
    for (int64_t i = 0; i < n; i++) out[i] = (uint32_t)bits[i] << 16;
  } else {
    for (int64_t i = 0; i < n; i++) { /* exponents move by 112; the largest one is inf or NaN */
      union { uint32_t bits; float value; } x = {(uint32_t)(bits[i] & 0x7fff) << 13};
      x.value *= 5.192296858534828e33f;
      x.bits |= x.bits >= 0x47800000u ? 0x7f800000u : 0u;
      x.bits |= (uint32_t)(bits[i] & 0x8000) << 16;
      to[i] = x.value;
    }
  }
}

/* Rows first … first + n − 1 as float32, in place or as a copy in `space`; *stride is theirs. */
static const float *rows_of(const Rows *rows, int64_t type, int64_t batch, int64_t head, int64_t first,
                            int64_t n, int64_t size, float *space, int64_t *stride) {
  int64_t at = batch * rows->batch + head * rows->head + first * rows->row;
  if (type == FLOAT32) {
    *stride = rows->row;
    return (const float *)rows->data + at;
  }
  for (int64_t i = 0; i < n; i++)
    widen(space + i * size, (const uint16_t *)rows->data + at + i * rows->row, type, size);
  *stride = size;
  return space;
}

static int is_finite(const float *x, int64_t n) {
  float sum = 0; /* of zeros, NaN if one is not finite */
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) sum += x[i] * 0.0f;
  return sum == 0;
}

static int sees(const Call *call, int64_t batch, const Row *row, int64_t left, int64_t j) {
  if (j < row->first || j >= row->stop) return 0;
  return !call->segments || call->segments[batch * call->keys + left + j] == row->segment;
}

/* Where each query of a block stands, within the keys left … left + n − 1; whether it sees them all. */
static int place(const Call *call, int64_t batch, int64_t begin, int64_t queries, int64_t left, int64_t n,
                 Row *rows) {
  int all = !call->segments;
  for (int64_t r = 0; r < queries; r++) {
    int64_t at = batch * call->first_batch + begin + r;
    int64_t first = call->first[at] - left, stop = call->stop[at] - left;
    first = first < 0 ? 0 : first > n ? n : first;
    stop = stop < first ? first : stop > n ? n : stop;
    int64_t segment = call->segments ? call->own[batch * call->queries + begin + r] : 0;
    rows[r] = (Row){call->offset + begin + r, segment, first, stop};
    all &= first == 0 && stop == n;
  }
  return all;
}

/* Store the keys first … stop − 1 that any query of each block can see, [batches, blocks, 2]. */
static void find_spans(Call *call) {
  int64_t blocks = ceiling(call->queries, call->block);
  for (int64_t i = 0; i < call->batches * call->queries; i++) {
    int64_t batch = i / call->queries, query = i % call->queries;
    int64_t at = batch * call->first_batch + query;
    int64_t *span = call->spans + 2 * (batch * blocks + query / call->block);
    if (query % call->block == 0) span[0] = call->keys, span[1] = 0;
    if (call->first[at] >= call->stop[at]) continue;
    if (call->first[at] < span[0]) span[0] = call->first[at];
    if (call->stop[at] > span[1]) span[1] = call->stop[at];
  }
}

/* Scores of a block of queries and n keys; a key of another segment has −inf. */
static void score(const Call *call, const Space *space, const float *q, int64_t q_stride, int64_t queries,
                  int64_t batch, int64_t head, int64_t left, int64_t n) {
  int64_t k_stride, stride = KEYS;
  const float *k = rows_of(&call->k, call->type, batch, head / call->group, left, n, call->dim, space->k,
                           &k_stride);
  float zero = 0, one = 1, scale = call->scale;
  /* With a factor of 0, sgemm_ would not read q and k, which may hold NaN. */
  call->product("T", "N", &n, &queries, &call->dim, scale == 0 ? &one : &scale, k, &k_stride, q, &q_stride,
                &zero, space->scores, &stride);
  if (scale != 0 && !call->softcap && !call->slopes && !call->segments) return;
  for (int64_t r = 0; r < queries; r++) {
    float *s = space->scores + r * KEYS;
    const Row *row = space->rows + r;
    if (scale == 0)
      for (int64_t j = row->first; j < row->stop; j++) s[j] *= scale;
    if (call->softcap)
      bend(s + row->first, row->stop - row->first, 1.0f / call->softcap, call->softcap);
    if (call->slopes) {
      float slope = call->slopes[head], gap = (float)(row->position - left);
      for (int64_t j = row->first; j < row->stop; j++) s[j] -= slope * (gap - (float)j);
    }
    if (call->segments)
      for (int64_t j = row->first; j < row->stop; j++)
        if (!sees(call, batch, row, left, j)) s[j] = -INFINITY;
  }
}

/* Turn a row's scores into weights below the running maximum and add them to its sums. */
INLINE void add_row(Sums *sums, float *acc, int64_t width, float *s, const Row *row, int64_t left, int64_t n,
                    const int far, const int varied) {
  float high = -INFINITY;
  int first = (int)row->first, stop = (int)row->stop, top = -1; /* 32 bits: they become floats */
#pragma omp simd reduction(max : high)
  for (int j = first; j < stop; j++) high = s[j] > high ? s[j] : high;
  if (high > sums->m) {
    if (sums->m > -INFINITY) { /* otherwise all sums are 0 */
      double shift = ((double)sums->m - high) / LN2, f = power_any((float)shift);
      if (varied) sums->u = f * (sums->u + shift * (2 * sums->t + shift * sums->l));
      sums->t = f * (sums->t + shift * sums->l);
      sums->l *= f, sums->far *= f, sums->early *= f;
      float factor = (float)f;
      for (int64_t x = 0; x < width; x++) acc[x] *= factor;
    }
    sums->m = high;
    for (top = first; top < stop && s[top] != high; top++) {}
    sums->top = left + top;
    s[top] = -INFINITY; /* counted apart below */
  }
  float m = sums->m == -INFINITY ? 0 : sums->m, l = 0, t = 0, u = 0, f = 0;
#pragma omp simd reduction(+ : l, t, u, f)
  for (int j = first; j < stop; j++) {
    float z = (s[j] - m) * LOG2E, y = z < LOWEST ? LOWEST : z, p = power(y);
    p = z < LOWEST ? 0.0f : p;
    l += p;
    t += p * y;
    if (varied) u += p * (y * y); /* so that t has the same bits with and without it */
    if (far) f += p * (float)j;
    s[j] = p;
  }
  double one = 0;
  if (top >= 0) {
    /* 1, but NaN for a maximum of +inf, as the softmax has it. */
    float p = high - m == 0 ? 1.0f : NAN;
    s[top] = p, one = p;
    if (far) f += p * (float)top;
  }
  sums->l += l + one, sums->t += t, sums->u += u;
  if (far) sums->far += (double)(row->position - left) * (l + one) - f;
  memset(s, 0, (size_t)first * sizeof(float));
  memset(s + stop, 0, (size_t)(n - stop) * sizeof(float));
}

static void add_rows(const Call *call, const Space *space, int64_t queries, int64_t batch, int64_t left,
                     int64_t n) {
  int64_t width = call->width;
  int64_t early = call->starts[batch * call->starts_batch] - left;
  for (int64_t r = 0; r < queries; r++) {
    float *s = space->scores + r * KEYS, *acc = space->values + r * width;
    Sums *sums = space->sums + r;
    const Row *row = space->rows + r;
    if (call->varentropy)
      add_row(sums, acc, width, s, row, left, n, 1, 1);
    else if (call->distance)
      add_row(sums, acc, width, s, row, left, n, 1, 0);
    else
      add_row(sums, acc, width, s, row, left, n, 0, 0);
    for (int64_t j = early < 0 ? 0 : early; j < early + 4 && j < n; j++) sums->early += s[j];
  }
}

/* Add the weighted values of a block. A hidden key has the weight 0, and 0 · NaN is NaN: where values
   are not finite and some query does not see them all, those are added one by one. */
static void weigh(const Call *call, const Space *space, int64_t queries, int64_t batch, int64_t head,
                  int64_t left, int64_t n, int all) {
  int64_t width = call->width, stride, keys = KEYS;
  const float *v = rows_of(&call->v, call->type, batch, head / call->group, left, n, width, space->v,
                           &stride);
  int odd = 0;
  for (int64_t j = 0; !all && j < n; j++) {
    if (is_finite(v + j * stride, width)) continue;
    if (!odd && v != space->v) {
      for (int64_t i = 0; i < n; i++)
        memcpy(space->v + i * width, v + i * stride, (size_t)width * sizeof(float));
      v = space->v, stride = width;
    }
    odd = 1;
    for (int64_t r = 0; r < queries; r++) {
      if (!sees(call, batch, space->rows + r, left, j)) continue;
      float p = space->scores[r * KEYS + j], *acc = space->values + r * width;
      for (int64_t x = 0; x < width; x++) acc[x] += p * v[j * stride + x];
    }
    memset(space->v + j * width, 0, (size_t)width * sizeof(float));
  }
  float one = 1;
  call->product("N", "N", &width, &queries, &n, &one, v, &stride, space->scores, &keys, &one, space->values,
                &width);
}

static void finish(const Call *call, const Space *space, int64_t batch, int64_t head, int64_t begin,
                   int64_t queries) {
  for (int64_t r = 0; r < queries; r++) {
    const Sums *x = space->sums + r;
    int64_t at = (batch * call->heads + head) * call->queries + begin + r;
    int none = x->l == 0;
    double g = none ? NAN : 1 / x->l, log_l = log(x->l), t = x->t * g * LN2;
    double lse = none ? -INFINITY : x->m + log_l, share = 0;
    if (call->lse) call->lse[at] = (float)lse;
    if (call->entropy) call->entropy[at] = (float)(log_l - t < 0 ? 0 : none ? NAN : log_l - t);
    if (call->max_prob) call->max_prob[at] = (float)g;
    if (call->varentropy) {
      double variance = x->u * g * LN2 * LN2 - t * t;
      call->varentropy[at] = (float)(variance < 0 ? 0 : variance);
    }
    if (call->distance) call->distance[at] = (float)(x->far * g);
    if (call->sink_mass) call->sink_mass[at] = (float)(x->early * g);
    if (call->max_logit) call->max_logit[at] = (float)(x->m + 0 * g);
    if (call->top_key) call->top_key[at] = none || isnan(x->l) ? -1 : (int32_t)x->top;
    if (call->sinks) share = 1 / (1 + exp(lse - call->sinks[head]));
    if (call->sink_prob) call->sink_prob[at] = (float)share;
    float *out = (float *)call->out.data + batch * call->out.batch + head * call->out.head +
                 (begin + r) * call->out.row;
    const float *acc = space->values + r * call->width;
    float factor = (float)((none ? 0 : g) * (1 - share));
    for (int64_t i = 0; i < call->width; i++) out[i] = (none ? 0 : acc[i]) * factor;
  }
}

static void release(Space *space) {
  free(space->scores), free(space->q), free(space->k), free(space->v);
  free(space->values), free(space->sums), free(space->rows);
}

static int reserve(const Call *call, Space *space) {
  size_t block = (size_t)call->block, narrow = call->type != FLOAT32, widened = narrow * (size_t)call->dim;
  *space = (Space){
      .scores = aligned_alloc(64, block * KEYS * sizeof(float)), /* sums in the same order each time */
      .q = malloc(block * widened * sizeof(float) + 1),
      .k = malloc(KEYS * widened * sizeof(float) + 1),
      .v = malloc(KEYS * (size_t)call->width * sizeof(float) + 1),
      .values = malloc(larger(call->block * call->width, KEYS) * sizeof(float)),
      .sums = malloc(block * sizeof(Sums)),
      .rows = malloc(block * sizeof(Row)),
  };
  if (space->scores && space->q && space->k && space->v && space->values && space->sums && space->rows)
    return 1;
  release(space);
  return 0;
}

static void attend(const Call *call, const Space *space, int64_t piece) {
  int64_t columns = call->batches * call->heads, blocks = ceiling(call->queries, call->block);
  int64_t block = blocks - 1 - piece / columns, begin = block * call->block; /* the longest rows first */
  int64_t batch = piece % columns / call->heads, head = piece % call->heads;
  int64_t queries = smaller(call->queries - begin, call->block), q_stride;
  const int64_t *span = call->spans + 2 * (batch * blocks + block);
  const float *q = rows_of(&call->q, call->type, batch, head, begin, queries, call->dim, space->q, &q_stride);
  for (int64_t r = 0; r < queries; r++) space->sums[r] = (Sums){.m = -INFINITY, .top = -1};
  memset(space->values, 0, (size_t)(queries * call->width) * sizeof(float));
  for (int64_t left = span[0]; left < span[1]; left += KEYS) {
    int64_t n = smaller(span[1] - left, KEYS);
    int all = place(call, batch, begin, queries, left, n, space->rows);
    score(call, space, q, q_stride, queries, batch, head, left, n);
    add_rows(call, space, queries, batch, left, n);
    weigh(call, space, queries, batch, head, left, n, all);
  }
  finish(call, space, batch, head, begin, queries);
}

/* Turn a row's scores into exact weights p = e^(s − lse), or −p log2 p, and add them to `total`. */
INLINE void add_weights(float *total, const float *s, const Row *row, float base, const int64_t *segments,
                        const int entropies) {
#pragma omp simd
  for (int64_t j = row->first; j < row->stop; j++) {
    float z = (s[j] - base) * LOG2E, y = z < LOWEST ? LOWEST : z > 128.0f ? 128.0f : z, p = power(y);
    p = z < LOWEST ? 0.0f : p;
    p = entropies ? -p * y : p;
    if (segments) p = segments[j] == row->segment ? p : 0.0f; /* lse may be NaN, and p, too */
    total[j] += p;
  }
}

/* Add a query's weights on the keys of a block to `values`. */
static void weigh_row(const Call *call, const Space *space, int64_t batch, int64_t left, int64_t r, float lse) {
  const int64_t *segments = call->segments ? call->segments + batch * call->keys + left : NULL;
  const float *s = space->scores + r * KEYS;
  const Row *row = space->rows + r;
  float base = lse == -INFINITY ? INFINITY : lse; /* sees no key: weights of 0 */
  if (segments)
    add_weights(space->values, s, row, base, segments, call->entropies != 0);
  else if (call->entropies)
    add_weights(space->values, s, row, base, NULL, 1);
  else
    add_weights(space->values, s, row, base, NULL, 0);
}

static float sum_of(const float *x, int64_t from, int64_t to) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = from; j < to; j++) sum += x[j];
  return sum;
}

/* Add a query's weights to line[0] for the first keys, and to line[1 + b] for the distances of b bits. */
static void add_distances(const Call *call, const Space *space, float *line, int64_t batch, int64_t left,
                          int64_t r) {
  const Row *row = space->rows + r;
  int64_t start = call->starts[batch * call->starts_batch] - left, middle = row->position - left;
  for (int64_t j = row->first, stop; j < row->stop; j = stop) {
    if (j >= start && j < start + call->first_keys) {
      stop = smaller(row->stop, start + call->first_keys);
      line[0] += sum_of(space->values, j, stop);
      continue;
    }
    int64_t distance = j > middle ? j - middle : middle - j, bits = 0;
    while (distance >> bits) bits++;
    stop = j > middle ? middle + ((int64_t)1 << bits) : middle + 1 - (bits ? (int64_t)1 << (bits - 1) : 0);
    stop = smaller(row->stop, j < start ? smaller(stop, start) : stop);
    line[1 + bits] += sum_of(space->values, j, stop);
  }
}

static int64_t columns_of(const Call *call) {
  return call->bins ? 1 + call->bins : ceiling(call->keys, call->tile_keys);
}

/* Add the weights of one head's queries begin … begin + queries − 1 and a block of keys to the tiles. */
static void add_tiles(const Call *call, const Space *space, float *tiles, int64_t batch, int64_t head,
                      int64_t begin, int64_t queries, int64_t left, int64_t n) {
  int64_t q_stride;
  const float *q = rows_of(&call->q, call->type, batch, head, begin, queries, call->dim, space->q, &q_stride);
  const float *lse = call->lse + (batch * call->heads + head) * call->queries + begin;
  place(call, batch, begin, queries, left, n, space->rows);
  score(call, space, q, q_stride, queries, batch, head, left, n);
  memset(space->values, 0, KEYS * sizeof(float));
  for (int64_t r = 0; r < queries; r++) {
    float *line = tiles + (begin + r) / call->tile_rows * columns_of(call);
    weigh_row(call, space, batch, left, r, lse[r]);
    if (call->bins) {
      add_distances(call, space, line, batch, left, r);
    } else {
      if (r + 1 < queries && (begin + r + 1) % call->tile_rows) continue; /* the tile row continues */
      for (int64_t j = 0, stop; j < n; j = stop) {
        int64_t tile = (left + j) / call->tile_keys;
        stop = smaller(n, (tile + 1) * call->tile_keys - left);
        line[tile] += sum_of(space->values, j, stop);
      }
    }
    memset(space->values, 0, KEYS * sizeof(float));
  }
}

/* Queries and keys of a piece: whole tiles, so that no other thread writes them, in about a block. */
static int64_t row_band(const Call *call) {
  return larger(1, call->block / call->tile_rows) * call->tile_rows;
}

static int64_t key_band(const Call *call) { return larger(1, KEYS / call->tile_keys) * call->tile_keys; }

static void sum_tiles(const Call *call, const Space *space, int64_t piece) {
  int64_t heads = call->mean ? 1 : call->heads, rows = ceiling(call->queries, call->tile_rows);
  int64_t row_bands = ceiling(call->queries, row_band(call)), blocks = ceiling(call->queries, call->block);
  int64_t key_bands = ceiling(call->keys, key_band(call)), rest = piece / row_bands;
  int64_t batch = rest / (heads * key_bands), column = batch * heads + rest % heads;
  int64_t first = piece % row_bands * row_band(call), from = rest / heads % key_bands * key_band(call);
  int64_t last = smaller(call->queries, first + row_band(call));
  int64_t to = smaller(call->keys, from + key_band(call));
  float *tiles = call->tiles + column * rows * columns_of(call);
  for (int64_t begin = first, end; begin < last; begin = end) {
    end = smaller(last, (begin / call->block + 1) * call->block);
    const int64_t *span = call->spans + 2 * (batch * blocks + begin / call->block);
    for (int64_t left = larger(from, span[0]); left < smaller(to, span[1]); left += KEYS)
      for (int64_t i = 0; i < (call->mean ? call->heads : 1); i++)
        add_tiles(call, space, tiles, batch, call->mean ? i : rest % heads, begin, end - begin, left,
                  smaller(KEYS, smaller(to, span[1]) - left));
  }
}

static int64_t count_pieces(const Call *call) {
  if (!call->tiles) return call->batches * call->heads * ceiling(call->queries, call->block);
  return call->batches * (call->mean ? 1 : call->heads) * ceiling(call->queries, row_band(call)) *
         ceiling(call->keys, key_band(call));
}

static void work(void *argument) {
  Call *call = argument;
  Space space;
  if (!reserve(call, &space)) {
    __atomic_store_n(&call->failed, 1, __ATOMIC_RELAXED);
    return;
  }
  for (int64_t pieces = count_pieces(call);;) {
    int64_t piece = __atomic_fetch_add(&call->next, 1, __ATOMIC_RELAXED);
    if (piece >= pieces) break;
    if (call->tiles)
      sum_tiles(call, &space, piece);
    else
      attend(call, &space, piece);
  }
  release(&space);
}

/* Compute a call: attention, or sums of weights where `tiles` is set. Return 0 if memory ran out. */
int run(Call *call) {
  call->next = call->failed = 0;
  int64_t blocks = ceiling(call->queries, call->block);
  call->spans = malloc((size_t)(2 * call->batches * blocks) * sizeof(int64_t));
  if (!call->spans) return 0;
  find_spans(call);
  int64_t threads = smaller(call->threads, count_pieces(call));
  if (threads > 1)
    call->fork(work, call, (unsigned)threads, 0);
  else
    work(call);
  free(call->spans);
  return !call->failed;
}
