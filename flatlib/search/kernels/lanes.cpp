// The operations of the supernet on feature maps (blocks, C, H, W, 16): sixteen images of a batch lie innermost, so
// that every channel count, stride and size is one vector instruction wide. blocks = N neighbors x ceil(B / 16), the
// neighbor first. The lanes of a last block that hold no image compute along and are left out of every sum.
//
// One convolution is ReLU, depthwise kernel, pointwise product; its sums for the norm are taken while its output is
// in registers. Going back, the norm is folded into dL/dy = a g + b y + d (see lanes.py).

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

namespace {

using at::IntArrayRef;
using at::Tensor;
using at::TensorList;
using Int = int64_t;
using Maybe = std::optional<Tensor>;

constexpr Int LANES = 16;
constexpr Int MOST = 8;         // sources of a sum
constexpr Int CACHE = 1 << 17;  // bytes of a core's second-level cache that a strip of rows may take

template <class R>
struct Lanes {
  typedef R Vec __attribute__((vector_size(LANES * sizeof(R)), aligned(sizeof(R)), may_alias));
};
template <class R>
using Vec = typename Lanes<R>::Vec;

template <class R>
inline Vec<R> all(R value) {
  return value - Vec<R>{};
}

template <class R>
double sum(const Vec<R>& v, Int lanes) {
  double total = 0;
  for (Int i = 0; i < lanes; ++i) total += v[i];
  return total;
}

template <class R>
const R* numbers(const Tensor& t) {
  TORCH_CHECK(t.is_contiguous(), "a tensor of sizes ", t.sizes(), " is not contiguous");
  return t.const_data_ptr<R>();
}
template <class R>
const Vec<R>* maps(const Tensor& t) {
  return reinterpret_cast<const Vec<R>*>(numbers<R>(t));
}
template <class R>
Vec<R>* maps(Tensor& t) {
  return reinterpret_cast<Vec<R>*>(t.mutable_data_ptr<R>());
}

template <class R, int WHICH>
Vec<R>* scratch(size_t vectors) {  // of this thread, aligned to a cache line
  thread_local std::unique_ptr<char[]> memory;
  thread_local size_t size = 0;
  if (vectors > size) memory.reset(new char[(size = vectors) * sizeof(Vec<R>) + 64]);
  return reinterpret_cast<Vec<R>*>((reinterpret_cast<uintptr_t>(memory.get()) + 63) / 64 * 64);
}

Int ceil_div(Int a, Int b) { return (a + b - 1) / b; }

// Blocks of a batch: which neighbor, how many images.
struct Batch {
  Int images, blocks;
  explicit Batch(Int images) : images(images), blocks(ceil_div(images, LANES)) {}
  Int neighbor(Int block) const { return block / blocks; }
  Int lanes(Int block) const { return std::min(LANES, images - block % blocks * LANES); }
};

// The norm of some channels, if there is one.
struct Norm {
  const double *mean = nullptr, *inverse = nullptr;
  double scale(Int c) const { return mean ? inverse[c] : 1; }
  double shift(Int c) const { return mean ? -mean[c] * inverse[c] : 0; }
  Norm from(Int c) const { return mean ? Norm{mean + c, inverse + c} : *this; }
};

// --- depthwise: one row of one channel ----------------------------------------------------------------------------

template <class R, int T, int K, int D, int S>
inline void taps(Vec<R>* out, const Vec<R>* const* rows, const R* kernel, Int width) {
  Vec<R> acc[T] = {};
  for (int i = 0; i < K; ++i) {
    const Vec<R>* row = rows[i];
    if (!row) continue;  // outside of the map
#pragma GCC unroll 5
    for (int t = 0; t < K; ++t) {
      const Vec<R> weight = all(kernel[i * width + t]);
#pragma GCC unroll 8
      for (int j = 0; j < T; ++j) acc[j] += weight * row[j * S + t * D];
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < T; ++j) out[j] = acc[j];
}

template <class R, int K, int D, int S>
void depthwise_row(Vec<R>* out, const Vec<R>* const* rows, const R* kernel, Int width, Int n) {
  const Vec<R>* at[K];
  const auto move = [&](Int j) {
    for (int i = 0; i < K; ++i) at[i] = rows[i] ? rows[i] + j * S : nullptr;
  };
  Int j = 0;
  for (; j + 8 <= n; j += 8) move(j), taps<R, 8, K, D, S>(out + j, at, kernel, width);
  for (; j + 4 <= n; j += 4) move(j), taps<R, 4, K, D, S>(out + j, at, kernel, width);
  for (; j < n; ++j) move(j), taps<R, 1, K, D, S>(out + j, at, kernel, width);
}

template <class R>
using Row = void (*)(Vec<R>*, const Vec<R>* const*, const R*, Int, Int);

template <class R>
Row<R> row_of(Int size, Int dilation, Int stride) {
  static const Row<R> rows[2][3][2] = {{{depthwise_row<R, 1, 1, 1>, depthwise_row<R, 1, 1, 1>},
                                        {depthwise_row<R, 3, 1, 1>, depthwise_row<R, 3, 2, 1>},
                                        {depthwise_row<R, 5, 1, 1>, depthwise_row<R, 5, 2, 1>}},
                                       {{depthwise_row<R, 1, 1, 2>, depthwise_row<R, 1, 1, 2>},
                                        {depthwise_row<R, 3, 1, 2>, depthwise_row<R, 3, 2, 2>},
                                        {depthwise_row<R, 5, 1, 2>, depthwise_row<R, 5, 2, 2>}}};
  return rows[stride - 1][size / 2][dilation - 1];
}

// --- pointwise: a tile of output channels and pixels --------------------------------------------------------------

// out[o][p] = sum_c weights[o * step_o + c * step_c] x[c * step_x + p]
template <class R, int O, int P>
inline void product(Vec<R> (&out)[O][P], const Vec<R>* x, Int step_x, const R* weights, Int step_o, Int step_c, Int c) {
#pragma GCC unroll 4
  for (int o = 0; o < O; ++o)
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) out[o][p] = Vec<R>{};
  for (Int k = 0; k < c; ++k, x += step_x, weights += step_c)
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) {
      const Vec<R> weight = all(weights[o * step_o]);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) out[o][p] += weight * x[p];
    }
}

// write(o, tile) for all output channels of P pixels
template <class R, int P, class Write>
inline void products(const Vec<R>* x, Int step_x, const R* weights, Int step_o, Int step_c, Int c, Int outputs,
                     Write write) {
  Int o = 0;
  for (; o + 4 <= outputs; o += 4) {
    Vec<R> tile[4][P];
    product(tile, x, step_x, weights + o * step_o, step_o, step_c, c);
    for (int i = 0; i < 4; ++i) write(o + i, tile[i]);
  }
  for (; o < outputs; ++o) {
    Vec<R> tile[1][P];
    product(tile, x, step_x, weights + o * step_o, step_o, step_c, c);
    write(o, tile[0]);
  }
}

// --- convolutions -------------------------------------------------------------------------------------------------

// One convolution: a kernel and a product of one edge. Taps that meet only the border are cut.
template <class R>
struct Convolution {
  const R *deep, *point;  // (C, width, width) or none, (C', C)
  Int width, size, dilation, offset, entry, edge;

  Int reach() const { return dilation * (size / 2); }
  const R* kernel(Int c) const {
    static const R one = 1;
    return deep ? deep + c * width * width + (width - size) / 2 * (width + 1) : &one;
  }
  // The rows that output row h needs, from `row(source)`; none outside
  template <class Rows>
  void find(const Vec<R>** found, Int h, Int stride, Rows row) const {
    for (Int i = 0; i < size; ++i) found[i] = row(h * stride + offset + i * dilation - reach());
  }
};

// All convolutions of a call: a list of kernels (E, C, s, s) and products (E, C', C), each on every edge.
template <class R>
struct Convolutions {
  std::vector<Convolution<R>> each;
  Int edges, in, out, margin = 0;

  Convolutions(TensorList deep, TensorList point, IntArrayRef dilations, IntArrayRef offsets, Int side)
      : edges(point[0].size(0)), in(point[0].size(2)), out(point[0].size(1)) {
    for (size_t at = 0; at < point.size(); ++at) {
      const bool plain = deep[at].numel() == 0;
      const Int width = plain ? 1 : deep[at].size(3), size = 2 * std::min(width / 2, (side - 1) / dilations[at]) + 1;
      const Int dilation = size > 1 ? dilations[at] : 1;
      for (Int e = 0; e < edges; ++e) {
        const R* kernel = plain ? nullptr : numbers<R>(deep[at]) + e * in * width * width;
        const R* product = numbers<R>(point[at]) + e * out * in;
        each.push_back({kernel, product, width, size, dilation, offsets[at], static_cast<Int>(at), e});
      }
      margin = std::max(margin, dilation * (size / 2) + offsets[at]);
    }
  }
};

// Mean and 1 / standard deviation (J, N, C) from the sums (J, blocks, parts, 2, C) of y and y^2
std::tuple<Tensor, Tensor> statistics(const Tensor& sums, const Batch& batch, Int pixels) {
  const Tensor of =
      sums.view({sums.size(0), -1, batch.blocks * sums.size(2), 2, sums.size(4)}).sum(2) / (batch.images * pixels);
  const Tensor mean = of.select(2, 0).contiguous(), variance = (of.select(2, 1) - mean * mean).clamp_min_(0);
  return {mean, (variance + 1e-5).rsqrt_()};
}

Norm norm_of(const Maybe& mean, const Maybe& inverse, Int row) {
  return mean ? Norm{numbers<double>(*mean), numbers<double>(*inverse)}.from(row * mean->size(-1)) : Norm{};
}

// a, b, d of dL/dy = a g + b y + d, for y^ = inverse (y - mean), a = scale inverse, <g, y> and the sum of g over rows.
struct Back {
  double a, b, d, inner;
  Back(double scale, double mean, double inverse, double product, double total, double rows)
      : a(scale * inverse), inner(inverse * (product - mean * total)) {
    const double share = a / rows;
    b = -share * inverse * inner;
    d = -share * total - b * mean;
  }
};

// Rows [from, to) of some channels, normed, after their ReLU, with a margin of zeros left and right.
template <class R>
void pad_rows(Vec<R>* out, const Vec<R>* x, Int channels, Int plane, Int w, Int margin, Int from, Int to, Norm norm) {
  for (Int c = 0; c < channels; ++c) {
    const Vec<R> a = all(R(norm.scale(c))), b = all(R(norm.shift(c))), zero{};
    for (Int h = from; h < to; ++h, out += w + 2 * margin) {
      const Vec<R>* row = x + c * plane + h * w;
      std::fill(out, out + margin, zero);
      for (Int j = 0; j < w; ++j) {
        const Vec<R> v = a * row[j] + b;
        out[margin + j] = v > zero ? v : zero;
      }
      std::fill(out + margin + w, out + w + 2 * margin, zero);
    }
  }
}

// x (1 or J, blocks, C, H, W, 16) -> y (J, blocks, C', H', W', 16), mean and 1 / deviation (J, N, C') float64
template <class R>
std::tuple<Tensor, Tensor, Tensor> convolve(const Tensor& x, const Maybe& mean, const Maybe& inverse, TensorList deep,
                                            TensorList point, IntArrayRef dilations, IntArrayRef offsets, Int stride,
                                            Int images) {
  const Int blocks = x.size(1), in = x.size(2), h = x.size(3), w = x.size(4);
  const Convolutions<R> all_of(deep, point, dilations, offsets, std::max(h, w));
  const Int n = all_of.each.size(), out = all_of.out, high = ceil_div(h, stride), wide = ceil_div(w, stride);
  const Int margin = all_of.margin, padded = w + 2 * margin;
  const Int strip = std::clamp<Int>(CACHE / (in * wide * sizeof(Vec<R>)), 1, high), strips = ceil_div(high, strip);
  const Batch batch(images);
  Tensor y = at::empty({n, blocks, out, high, wide, LANES}, x.options());
  Tensor sums = at::empty({n, blocks, strips, 2, out}, x.options().dtype(at::kDouble));
  const Vec<R>* source = maps<R>(x);
  Vec<R>* target = maps<R>(y);
  double* total = sums.mutable_data_ptr<double>();

  const auto task = [&](Int block, Int part) {
    const Int first = part * strip, last = std::min(high, first + strip), pixels = (last - first) * wide;
    const Int from = std::max<Int>(0, first * stride - margin), to = std::min(h, (last - 1) * stride + margin + 1);
    Vec<R>*rows = scratch<R, 0>(in * (to - from) * padded), *u = scratch<R, 1>(in * pixels),
    *s = scratch<R, 2>(2 * out);
    for (Int at = 0; at < n; ++at) {
      const Convolution<R>& own = all_of.each[at];
      const Norm norm = norm_of(mean, inverse, at * (blocks / batch.blocks) + batch.neighbor(block));
      if (at == 0 || mean)
        pad_rows<R>(rows, source + ((mean ? at * blocks : 0) + block) * in * h * w, in, h * w, w, margin, from, to,
                    norm);
      const Row<R> row = row_of<R>(own.size, own.dilation, stride);
      for (Int c = 0; c < in; ++c)
        for (Int i = first; i < last; ++i) {
          const Vec<R>* needed[5];
          own.find(needed, i, stride, [&](Int r) -> const Vec<R>* {
            return r < 0 || r >= h ? nullptr
                                   : rows + (c * (to - from) + r - from) * padded + margin + own.offset - own.reach();
          });
          row(u + c * pixels + (i - first) * wide, needed, own.kernel(c), own.width, wide);
        }
      std::fill(s, s + 2 * out, Vec<R>{});
      Vec<R>* to_rows = target + ((at * blocks + block) * out * high + first) * wide;
      const auto write = [&](auto size, Int p) {
        constexpr int P = decltype(size)::value;
        products<R, P>(u + p, pixels, own.point, in, 1, in, out, [&](Int o, const Vec<R>(&tile)[P]) {
          Vec<R> first{}, second{};
          for (int i = 0; i < P; ++i) {
            to_rows[o * high * wide + p + i] = tile[i];
            first += tile[i];
            second += tile[i] * tile[i];
          }
          s[o] += first;
          s[out + o] += second;
        });
      };
      Int p = 0;
      for (; p + 4 <= pixels; p += 4) write(std::integral_constant<int, 4>{}, p);
      for (; p < pixels; ++p) write(std::integral_constant<int, 1>{}, p);
      for (Int o = 0; o < 2 * out; ++o)
        total[((at * blocks + block) * strips + part) * 2 * out + o] = sum<R>(s[o], batch.lanes(block));
    }
  };
  at::parallel_for(0, blocks * strips, 1, [&](Int begin, Int end) {
    for (Int i = begin; i < end; ++i) task(i / strips, i % strips);
  });
  const auto [mean_y, inverse_y] = statistics(sums, batch, high * wide);
  return {y, mean_y, inverse_y};
}

// sum over pixels of u x for the taps of one row of a kernel
template <class R, int K>
void correlate(Vec<R>* acc, const Vec<R>* u, const Vec<R>* x, Int n, Int stride, Int dilation) {
  Vec<R> own[K] = {};
  for (Int j = 0; j < n; ++j)
#pragma GCC unroll 5
    for (int t = 0; t < K; ++t) own[t] += u[j * stride] * x[j * stride + t * dilation];
  for (int t = 0; t < K; ++t) acc[t] += own[t];
}

// out[i][j] = sum over pixels and lanes of g[i] u[j]
template <class R, int O, int C>
void dots(R* out, Int step, const Vec<R>* g, const Vec<R>* u, Int pixels, Int lanes) {
  Vec<R> acc[O][C] = {};
  for (Int p = 0; p < pixels; ++p)
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o)
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) acc[o][c] += g[o * pixels + p] * u[c * pixels + p];
  for (int o = 0; o < O; ++o)
    for (int c = 0; c < C; ++c) out[o * step + c] = sum<R>(acc[o][c], lanes);
}

// From dL/dy = a g + b y + d, with a, b, d (J, N, C'), to dL/dx. g (J or E, blocks, C' or both halves, H', W', 16).
// Adds to `into` (1, blocks, C, H, W, 16). Where x is normed first, writes into (J, ...) the gradient of the normed x
// and returns the a, b, d (J, N, C) that lead to x. Then the weights' gradients, if asked: all kernels', all products'.
template <class R>
std::vector<Tensor> convolve_back(const Tensor& g, const Tensor& y, const Tensor& a, const Tensor& b, const Tensor& d,
                                  const Tensor& x, const Maybe& mean, const Maybe& inverse, TensorList deep,
                                  TensorList point, IntArrayRef dilations, IntArrayRef offsets, Int stride, Int images,
                                  Tensor& into, bool weights) {
  const Int blocks = x.size(1), in = x.size(2), h = x.size(3), w = x.size(4), high = y.size(3), wide = y.size(4);
  const Convolutions<R> all_of(deep, point, dilations, offsets, std::max(h, w));
  const Int n = all_of.each.size(), out = all_of.out, pixels = high * wide, margin = all_of.margin,
            padded = w + 2 * margin;
  const Batch batch(images);
  const Int neighbors = blocks / batch.blocks, outer = mean ? n : 1, plane = h * padded;
  Int width = std::clamp<Int>(6 * CACHE / (plane * sizeof(Vec<R>)) / 4 * 4, std::min<Int>(4, in), in);
  while (outer * blocks * ceil_div(in, width) < at::get_num_threads() && width >= 8) width /= 2;
  const Int groups = ceil_div(in, width);
  const auto doubles = x.options().dtype(at::kDouble);
  Tensor sums = at::empty({mean ? n : 0, blocks, 2, in}, doubles);
  Tensor points = at::empty({weights ? n : 0, blocks, out, in}, x.options());
  std::vector<Tensor> deeps;
  for (const Tensor& kernel : deep) {
    const Int side = kernel.numel() ? kernel.size(3) : 0;
    deeps.push_back(at::zeros({weights ? all_of.edges : 0, blocks, in, side, side}, x.options()));
  }
  std::vector<Int> places;  // of an output's pixels in a padded map of the input's size, for each offset
  for (Int offset = 0; offset < 2; ++offset)
    for (Int i = offset; i < offset + high * stride; i += stride)
      for (Int j = offset; j < offset + wide * stride; j += stride)
        places.push_back(i < h && j < w ? i * padded + margin + j : -1);  // an odd side's last pixel met the border
  const Vec<R>*source = maps<R>(x), *gs = maps<R>(g), *ys = maps<R>(y);
  Vec<R>* target = maps<R>(into);
  double* total = sums.mutable_data_ptr<double>();

  const auto weight_gradients = [&](const Convolution<R>& own, Int at, Int block, Int c0, Int c1, const Vec<R>* xs,
                                    Norm norm, const Vec<R>* gy, const Vec<R>* u) {
    Vec<R>*rows = scratch<R, 3>(plane), *forward = scratch<R, 4>((c1 - c0) * pixels);
    const Row<R> row = row_of<R>(own.size, own.dilation, stride);
    const Int lanes = batch.lanes(block), start = margin + own.offset - own.reach();
    for (Int c = c0; c < c1; ++c) {
      pad_rows<R>(rows, xs + c * h * w, 1, h * w, w, margin, 0, h, norm.from(c));
      Vec<R> acc[5][5] = {};
      for (Int i = 0; i < high; ++i) {
        const Vec<R>* needed[5];
        own.find(needed, i, stride,
                 [&](Int r) -> const Vec<R>* { return r < 0 || r >= h ? nullptr : rows + r * padded + start; });
        row(forward + (c - c0) * pixels + i * wide, needed, own.kernel(c), own.width, wide);
        const Vec<R>* from = u + (c - c0) * plane + (i * stride + own.offset) * padded + margin + own.offset;
        for (Int k = 0; k < own.size && own.deep; ++k)
          if (needed[k])
            (own.size == 5   ? correlate<R, 5>
             : own.size == 3 ? correlate<R, 3>
                             : correlate<R, 1>)(acc[k], from, needed[k], wide, stride, own.dilation);
      }
      if (!own.deep) continue;
      R* kernel = deeps[own.entry].template mutable_data_ptr<R>() +
                  ((own.edge * blocks + block) * in + c) * own.width * own.width +
                  (own.width - own.size) / 2 * (own.width + 1);
      for (Int k = 0; k < own.size; ++k)
        for (Int l = 0; l < own.size; ++l) kernel[k * own.width + l] = sum<R>(acc[k][l], lanes);
    }
    R* product = points.mutable_data_ptr<R>() + (at * blocks + block) * out * in + c0;
    for (Int o = 0; o < out; o += o + 4 <= out ? 4 : 1)
      for (Int c = 0; c < c1 - c0; c += c + 4 <= c1 - c0 ? 4 : 1) {
        const bool tall = o + 4 <= out, broad = c + 4 <= c1 - c0;
        const auto dot = tall ? (broad ? dots<R, 4, 4> : dots<R, 4, 1>) : (broad ? dots<R, 1, 4> : dots<R, 1, 1>);
        dot(product + o * in + c, in, gy + o * pixels, forward + c * pixels, pixels, lanes);
      }
  };

  const auto task = [&](Int begin, Int end, Int block, Int c0, Int c1) {
    Vec<R>*u = scratch<R, 0>((c1 - c0) * plane), *gy = scratch<R, 1>(out * (weights ? pixels : 4)),
    *line = scratch<R, 2>(w);
    for (Int at = begin; at < end; ++at) {
      const Convolution<R>& own = all_of.each[at];
      if (at == begin || stride > 1) std::fill(u, u + (c1 - c0) * plane, Vec<R>{});
      const Int where = at * neighbors + batch.neighbor(block);
      const R *pa = numbers<R>(a) + where * out, *pb = numbers<R>(b) + where * out, *pd = numbers<R>(d) + where * out;
      const Vec<R>* gm = gs + (((g.size(0) == n ? at : own.edge) * blocks + block) * g.size(2) +
                               (g.size(2) > out ? own.entry * out : 0)) *
                                  pixels;
      const Vec<R>* ym = ys + (at * blocks + block) * out * pixels;
      const auto back = [&](auto size, Int p) {  // through the norm and the product, spread by the stride
        constexpr int P = decltype(size)::value;
        const Int step = weights ? pixels : P;
        Vec<R>* q = gy + (weights ? p : 0);
        for (Int o = 0; o < out; ++o)
          for (int i = 0; i < P; ++i)
            q[o * step + i] = pa[o] * gm[o * pixels + p + i] + (pb[o] * ym[o * pixels + p + i] + pd[o]);
        const Int* to = places.data() + own.offset * pixels + p;
        products<R, P>(q, step, own.point + c0, 1, in, out, c1 - c0, [&](Int c, const Vec<R>(&tile)[P]) {
          for (int i = 0; i < P; ++i)
            if (to[i] >= 0) u[c * plane + to[i]] = tile[i];
        });
      };
      Int p = 0;
      for (; p + 4 <= pixels; p += 4) back(std::integral_constant<int, 4>{}, p);
      for (; p < pixels; ++p) back(std::integral_constant<int, 1>{}, p);

      const Row<R> row = row_of<R>(own.size, own.dilation, 1);
      const Int which = (mean ? at * blocks : 0) + block, taps = own.size * own.size;
      const Norm norm = norm_of(mean, inverse, where);
      for (Int c = c0; c < c1; ++c) {
        R turned[25];
        for (Int k = 0; k < taps; ++k) turned[taps - 1 - k] = own.kernel(c)[k / own.size * own.width + k % own.size];
        const Vec<R> scale = all(R(norm.scale(c))), shift = all(R(norm.shift(c))), zero{};
        Vec<R> first{}, second{};
        for (Int i = 0; i < h; ++i) {
          const Vec<R>* needed[5];
          for (Int k = 0; k < own.size; ++k) {
            const Int r = i + k * own.dilation - own.reach();
            const bool there = r >= own.offset && r < h && (r - own.offset) % stride == 0;
            needed[k] = there ? u + (c - c0) * plane + r * padded + margin - own.reach() : nullptr;
          }
          row(line, needed, turned, own.size, w);
          const Vec<R>* xs = source + (which * in + c) * h * w + i * w;
          Vec<R>* to = target + (which * in + c) * h * w + i * w;
          if (mean)
            for (Int j = 0; j < w; ++j) {
              const Vec<R> v = scale * xs[j] + shift > zero ? line[j] : zero;
              to[j] = v;
              first += v;
              second += v * xs[j];
            }
          else
            for (Int j = 0; j < w; ++j) to[j] += xs[j] > zero ? line[j] : zero;
        }
        if (!mean) continue;
        double* both = total + (at * blocks + block) * 2 * in + c;
        both[0] = sum<R>(first, batch.lanes(block));
        both[in] = sum<R>(second, batch.lanes(block));
      }
      if (weights) weight_gradients(own, at, block, c0, c1, source + which * in * h * w, norm, gy, u);
    }
  };
  at::parallel_for(0, outer * blocks * groups, 1, [&](Int begin, Int end) {
    for (Int i = begin; i < end; ++i) {
      const Int c0 = i % groups * width, c1 = std::min(in, c0 + width), at = i / groups / blocks;
      if (c0 < c1) task(mean ? at : 0, mean ? at + 1 : n, i / groups % blocks, c0, c1);
    }
  });
  std::vector<Tensor> found;
  if (mean) {
    const Tensor both = sums.view({n, neighbors, batch.blocks, 2, in}).sum(2);
    for (int i = 0; i < 3; ++i) found.push_back(at::empty({n, neighbors, in}, x.options()));
    for (Int i = 0; i < n * neighbors * in; ++i) {
      const double* own = both.const_data_ptr<double>() + i / in * 2 * in + i % in;
      const Back one(1, numbers<double>(*mean)[i], numbers<double>(*inverse)[i], own[in], own[0], batch.images * h * w);
      found[0].template mutable_data_ptr<R>()[i] = one.a;
      found[1].template mutable_data_ptr<R>()[i] = one.b;
      found[2].template mutable_data_ptr<R>()[i] = one.d;
    }
  }
  if (weights) {
    for (const Tensor& one : deeps) found.push_back(one.sum(1));
    const Tensor by_entry = points.sum(1).view({-1, all_of.edges, out, in});
    for (Int i = 0; i < by_entry.size(0); ++i) found.push_back(by_entry[i]);
  }
  return found;
}

// --- pools --------------------------------------------------------------------------------------------------------

// The 3 x 3 neighborhood of an output pixel, cut at the border.
struct Window {
  Int top, bottom, left, right;
  Window(Int i, Int j, Int stride, Int h, Int w)
      : top(std::max<Int>(0, i * stride - 1)),
        bottom(std::min(h, i * stride + 2)),
        left(std::max<Int>(0, j * stride - 1)),
        right(std::min(w, j * stride + 2)) {}
  Int area() const { return (bottom - top) * (right - left); }
};

// x (blocks, C, H, W, 16) -> its 3 x 3 maximum and mean y (2, blocks, C, H', W', 16), mean and 1 / deviation (2, N, C)
template <class R>
std::tuple<Tensor, Tensor, Tensor> pool(const Tensor& x, Int stride, Int images) {
  const Int blocks = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3), high = ceil_div(h, stride),
            wide = ceil_div(w, stride);
  const Batch batch(images);
  Tensor y = at::empty({2, blocks, c, high, wide, LANES}, x.options());
  Tensor sums = at::empty({2, blocks, 1, 2, c}, x.options().dtype(at::kDouble));
  const Vec<R>* source = maps<R>(x);
  Vec<R>* target = maps<R>(y);
  double* total = sums.mutable_data_ptr<double>();
  at::parallel_for(0, blocks * c, 1, [&](Int begin, Int end) {
    for (Int at = begin; at < end; ++at) {
      const Vec<R>* from = source + at * h * w;
      Vec<R> s[2][2] = {};
      for (Int i = 0; i < high; ++i)
        for (Int j = 0; j < wide; ++j) {
          const Window own(i, j, stride, h, w);
          Vec<R> values[2] = {from[own.top * w + own.left], {}};
          for (Int r = own.top; r < own.bottom; ++r)
            for (Int k = own.left; k < own.right; ++k) {
              const Vec<R> v = from[r * w + k];
              values[0] = v > values[0] ? v : values[0];
              values[1] += v;
            }
          values[1] *= all(R(1) / own.area());
          for (int q = 0; q < 2; ++q) {
            target[((q * blocks * c + at) * high + i) * wide + j] = values[q];
            s[q][0] += values[q];
            s[q][1] += values[q] * values[q];
          }
        }
      for (int q = 0; q < 4; ++q)
        total[((q / 2 * blocks + at / c) * 2 + q % 2) * c + at % c] = sum<R>(s[q / 2][q % 2], batch.lanes(at / c));
    }
  });
  const auto [mean, inverse] = statistics(sums, batch, high * wide);
  return {y, mean, inverse};
}

// Adds dL/dx to `into`, from dL/dy = sum over edges of a g + b y + d; a (2, E, N, C), b and d (2, N, C). The first of
// equal maxima takes the gradient, as torch has it.
template <class R>
void pool_back(const Tensor& g, const Tensor& a, const Tensor& b, const Tensor& d, const Tensor& x, const Tensor& y,
               Int stride, Int images, Tensor& into) {
  const Int blocks = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3), high = y.size(3), wide = y.size(4),
            edges = g.size(0);
  const Batch batch(images);
  const Int neighbors = blocks / batch.blocks;
  const Vec<R>*source = maps<R>(x), *gs = maps<R>(g), *ys = maps<R>(y);
  const R *pa = numbers<R>(a), *pb = numbers<R>(b), *pd = numbers<R>(d);
  Vec<R>* target = maps<R>(into);
  at::parallel_for(0, blocks * c, 1, [&](Int begin, Int end) {
    for (Int at = begin; at < end; ++at) {
      const Vec<R>* from = source + at * h * w;
      Vec<R>* to = target + at * h * w;
      const Int one = batch.neighbor(at / c) * c + at % c;
      for (int q = 0; q < 2; ++q)
        for (Int i = 0; i < high; ++i)
          for (Int j = 0; j < wide; ++j) {
            const Int p = i * wide + j;
            const Vec<R> value = ys[(q * blocks * c + at) * high * wide + p], zero{};
            Vec<R> left = pb[q * neighbors * c + one] * value + pd[q * neighbors * c + one];
            for (Int e = 0; e < edges; ++e)
              left += pa[(q * edges + e) * neighbors * c + one] * gs[(e * blocks * c + at) * high * wide + p];
            const Window own(i, j, stride, h, w);
            if (q) left *= all(R(1) / own.area());
            for (Int r = own.top; r < own.bottom; ++r)
              for (Int k = own.left; k < own.right; ++k) {
                const auto here = from[r * w + k] == value;
                to[r * w + k] += q ? left : here ? left : zero;
                if (!q) left = here ? zero : left;
              }
          }
    }
  });
}

// --- alpha and the last norm --------------------------------------------------------------------------------------

// What operations computed: (1 or E, blocks, C, ...) each, or halves of the channels (2 E, blocks, C / 2, ...).
template <class R>
struct Sources {
  struct Source {
    const Vec<R>* maps;
    Int jobs, blocks, channels;
  };
  std::vector<Source> each;
  Int edges, neighbors, channels;  // of the norm's numbers
  Int pixels;

  Sources(TensorList ys, Int edges, const Tensor& mean)
      : edges(edges), neighbors(mean.size(2)), channels(mean.size(3)), pixels(ys[0].size(3) * ys[0].size(4)) {
    for (const Tensor& y : ys) each.push_back({maps<R>(y), y.size(0), y.size(1), y.size(2)});
  }
  Int number(Int s, Int e, Int neighbor, Int c) const {
    return ((s * edges + e) * neighbors + (neighbors == 1 ? 0 : neighbor)) * channels + c;
  }
  // channel c of a block, as edge e reads it; fewer blocks: the same for all neighbors
  const Vec<R>* find(Int s, Int e, Int block, Int c) const {
    const Source& own = each[s];
    const bool second = c >= own.channels;  // half
    const Int at = own.jobs == 1 ? 0 : second * edges + e, of = block < own.blocks ? block : block % own.blocks;
    return own.maps + ((at * own.blocks + of) * own.channels + c - second * own.channels) * pixels;
  }
};

template <class R, int P>
inline void weighted(Vec<R>* to, Vec<R> start, const Vec<R>* const* from, const R* scale, Int n, Int p) {
  Vec<R> v[P];
  for (int i = 0; i < P; ++i) v[i] = start;
  for (Int s = 0; s < n; ++s)
    for (int i = 0; i < P; ++i) v[i] += scale[s] * from[s][p + i];
  for (int i = 0; i < P; ++i) to[i] = v[i];
}

template <class R>
double inner(const Vec<R>* g, const Vec<R>* y, Int pixels, Int lanes) {
  Vec<R> a{}, b{}, c{}, d{};
  Int p = 0;
  for (; p + 4 <= pixels; p += 4) {
    a += g[p] * y[p];
    b += g[p + 1] * y[p + 1];
    c += g[p + 2] * y[p + 2];
    d += g[p + 3] * y[p + 3];
  }
  for (; p < pixels; ++p) a += g[p] * y[p];
  return sum<R>((a + b) + (c + d), lanes);
}

// sum over sources of alphas (N, E, S) inverse (y - mean), both (S, E, N or 1, C) -> (E, blocks, C, H', W', 16)
template <class R>
Tensor combine(TensorList ys, const Tensor& alphas, const Tensor& mean, const Tensor& inverse, Int images) {
  const Int neighbors = alphas.size(0), edges = alphas.size(1), c = mean.size(3), high = ys[0].size(3),
            wide = ys[0].size(4), pixels = high * wide, n = ys.size();
  const Batch batch(images);
  const Int blocks = neighbors * batch.blocks;
  const Sources<R> sources(ys, edges, mean);
  Tensor terms = at::empty({edges, blocks, c, high, wide, LANES}, ys[0].options());
  Vec<R>* target = maps<R>(terms);
  const R* alpha = numbers<R>(alphas);
  const double *means = numbers<double>(mean), *inverses = numbers<double>(inverse);
  at::parallel_for(0, blocks * c, 1, [&](Int begin, Int end) {
    for (Int at = begin; at < end; ++at)
      for (Int e = 0; e < edges; ++e) {
        const Int neighbor = batch.neighbor(at / c);
        const Vec<R>* from[MOST];
        R scales[MOST];
        double bias = 0;
        for (Int s = 0; s < n; ++s) {
          const Int one = sources.number(s, e, neighbor, at % c);
          const double scale = alpha[(neighbor * edges + e) * n + s] * inverses[one];
          from[s] = sources.find(s, e, at / c, at % c);
          scales[s] = scale;
          bias -= scale * means[one];
        }
        Vec<R>* to = target + (e * blocks * c + at) * pixels;
        Int p = 0;
        for (; p + 4 <= pixels; p += 4) weighted<R, 4>(to + p, all(R(bias)), from, scales, n, p);
        for (; p < pixels; ++p) weighted<R, 1>(to + p, all(R(bias)), from, scales, n, p);
      }
  });
  return terms;
}

// <g, y^> (S, E, N, C) float64 and a, b, d (S, E, N, C) of dL/dy = a g + b y + d
template <class R>
std::tuple<Tensor, Tensor, Tensor, Tensor> reduce(TensorList ys, const Tensor& g, const Tensor& alphas,
                                                  const Tensor& mean, const Tensor& inverse, Int images) {
  const Int edges = g.size(0), blocks = g.size(1), c = g.size(2), pixels = g.size(3) * g.size(4), n = ys.size();
  const Batch batch(images);
  const Int neighbors = blocks / batch.blocks;
  const Sources<R> sources(ys, edges, mean);
  Tensor sums = at::empty({n + 1, edges, blocks, c}, g.options().dtype(at::kDouble));
  double* total = sums.mutable_data_ptr<double>();
  at::parallel_for(0, blocks * c, 1, [&](Int begin, Int end) {
    for (Int at = begin; at < end; ++at)
      for (Int e = 0; e < edges; ++e) {
        const Vec<R>* own = maps<R>(g) + (e * blocks * c + at) * pixels;
        const Int lanes = batch.lanes(at / c);
        double* to = total + e * blocks * c + at;
        for (Int s = 0; s < n; ++s)
          to[s * edges * blocks * c] = inner<R>(own, sources.find(s, e, at / c, at % c), pixels, lanes);
        Vec<R> acc{};
        for (Int p = 0; p < pixels; ++p) acc += own[p];
        to[n * edges * blocks * c] = sum<R>(acc, lanes);
      }
  });
  const Tensor found = sums.view({n + 1, edges, neighbors, batch.blocks, c}).sum(3);
  Tensor y_hat = at::empty({n, edges, neighbors, c}, found.options());
  std::array<Tensor, 3> abd;
  for (Tensor& t : abd) t = at::empty(y_hat.sizes(), g.options());
  const double *each = numbers<double>(found), *means = numbers<double>(mean), *inverses = numbers<double>(inverse);
  const R* alpha = numbers<R>(alphas);
  double* to = y_hat.mutable_data_ptr<double>();
  R* found_to[3];
  for (int i = 0; i < 3; ++i) found_to[i] = abd[i].mutable_data_ptr<R>();
  const double* totals = each + n * edges * neighbors * c;
  for (Int s = 0, i = 0; s < n; ++s)
    for (Int e = 0; e < edges; ++e)
      for (Int neighbor = 0; neighbor < neighbors; ++neighbor)
        for (Int k = 0; k < c; ++k, ++i) {
          const Int one = sources.number(s, e, neighbor, k);
          const Back back(alpha[(neighbor * edges + e) * n + s], means[one], inverses[one], each[i],
                          totals[i - s * edges * neighbors * c], batch.images * pixels);
          to[i] = back.inner;
          found_to[0][i] = back.a;
          found_to[1][i] = back.b;
          found_to[2][i] = back.d;
        }
  return {y_hat, abd[0], abd[1], abd[2]};
}

}  // namespace

#define BOTH(name, schema)                     \
  m.def(#name "_float32" schema, name<float>); \
  m.def(#name "_float64" schema, name<double>)

TORCH_LIBRARY(flatlib_lanes, m) {
  BOTH(convolve,
       "(Tensor x, Tensor? mean, Tensor? inverse, Tensor[] deep, Tensor[] point, int[] dilations, int[] offsets, "
       "int stride, int images) -> (Tensor, Tensor, Tensor)");
  BOTH(convolve_back,
       "(Tensor g, Tensor y, Tensor a, Tensor b, Tensor d, Tensor x, Tensor? mean, Tensor? inverse, Tensor[] deep, "
       "Tensor[] point, int[] dilations, int[] offsets, int stride, int images, Tensor(a!) into, bool weights) -> "
       "Tensor[]");
  BOTH(pool, "(Tensor x, int stride, int images) -> (Tensor, Tensor, Tensor)");
  BOTH(pool_back,
       "(Tensor g, Tensor a, Tensor b, Tensor d, Tensor x, Tensor y, int stride, int images, Tensor(a!) into) -> ()");
  BOTH(combine, "(Tensor[] ys, Tensor alphas, Tensor mean, Tensor inverse, int images) -> Tensor");
  BOTH(reduce,
       "(Tensor[] ys, Tensor g, Tensor alphas, Tensor mean, Tensor inverse, int images) -> (Tensor, Tensor, Tensor, "
       "Tensor)");
}
