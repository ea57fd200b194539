// What boost's generators give, as raw little-endian files; see README.md of the folder the numbers end up in.
#include <boost/random.hpp>
#include <boost/random/uniform_int.hpp>
#include <boost/math/special_functions/next.hpp>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>
typedef boost::mt19937 Rng;
template <class T> static void save(const char* name, const std::vector<T>& v) {
  FILE* f = fopen((std::string(name) + ".bin").c_str(), "wb");
  fwrite(v.data(), sizeof(T), v.size(), f);
  fclose(f);
}
static std::vector<float> uniform(Rng* r, int n, float a, float b) {
  boost::uniform_real<float> d(a, boost::math::nextafter<float>(b, std::numeric_limits<float>::max()));
  boost::variate_generator<Rng*, boost::uniform_real<float> > g(r, d);
  std::vector<float> v;
  for (int i = 0; i < n; ++i) v.push_back(g());
  return v;
}
static std::vector<float> gaussian(Rng* r, int n, float mean, float std) {
  boost::normal_distribution<float> d(mean, std);
  boost::variate_generator<Rng*, boost::normal_distribution<float> > g(r, d);
  std::vector<float> v;
  for (int i = 0; i < n; ++i) v.push_back(g());
  return v;
}
template <class T> static std::vector<unsigned char> bernoulli(Rng* r, int n, T p) {
  boost::bernoulli_distribution<T> d(p);
  boost::variate_generator<Rng*, boost::bernoulli_distribution<T> > g(r, d);
  std::vector<unsigned char> v;
  for (int i = 0; i < n; ++i) v.push_back(g());
  return v;
}
// an engine that gives numbers out of a file: those that land on the corners of the ziggurat's layers
struct Replay {
  typedef unsigned result_type;
  static result_type min() { return 0; }
  static result_type max() { return 0xffffffffu; }
  result_type operator()() { return raws[used++]; }
  std::vector<unsigned> raws;
  size_t used = 0;
};
static std::vector<unsigned> next(Rng* r) { return std::vector<unsigned>(1, (*r)()); }
int main() {
  for (unsigned seed : {0u, 1u, 7u, 4294967295u}) {
    Rng r(seed);
    std::vector<unsigned> v;
    for (int i = 0; i < 1300; ++i) v.push_back(r());
    save(("raw_" + std::to_string(seed)).c_str(), v);
  }
  { Rng r(5); save("uniform_1", uniform(&r, 500, -0.25f, 0.25f)); save("uniform_2", uniform(&r, 500, 3.f, 3.000002f));
    save("uniform_3", uniform(&r, 200, -3e38f, 3e38f)); save("uniform_4", uniform(&r, 200, 2.f, 2.f)); save("uniform_next", next(&r)); }
  { Rng r(11); std::vector<float> v = gaussian(&r, 5000, 0.f, 1.f); save("gaussian_1", v); save("gaussian_2", gaussian(&r, 333, -1.5f, 0.05f));
    save("gaussian_next", next(&r)); }
  { // a long run: every 997th value of four million and the sum of the float's bits, which no single slip can leave alone
    Rng r(2026); std::vector<float> v = gaussian(&r, 4000000, 0.f, 1.f), some;
    for (size_t i = 0; i < v.size(); i += 997) some.push_back(v[i]);
    for (float x : v) if (x > 4.2f || x < -4.2f) some.push_back(x);   // the far tail, in order
    save("gaussian_long", some);
    unsigned sum = 0; for (float x : v) { unsigned u; memcpy(&u, &x, 4); sum = sum * 31 + u; }
    save("gaussian_long_hash", std::vector<unsigned>(1, sum)); save("gaussian_long_next", next(&r)); }
  { Rng r(3); float q = 0.8f; save("bernoulli_dropout", bernoulli<double>(&r, 2000, 1. - q)); save("bernoulli_single", bernoulli<float>(&r, 2000, 5.f / 12.f));
    save("bernoulli_zero", bernoulli<double>(&r, 10, 0.)); save("bernoulli_one", bernoulli<float>(&r, 10, 1.f)); save("bernoulli_next", next(&r)); }
  { Rng r(9); std::vector<long> v; for (long n : {1L, 2L, 3L, 6L, 100L, 9536L, 238399L, 3000000000L, 4294967294L})
      for (int i = 0; i < 40; ++i) { boost::uniform_int<std::ptrdiff_t> d(0, n); v.push_back(d(r)); }
    save("uniform_int", v); save("uniform_int_next", next(&r)); }
  { Replay r; unsigned u; FILE* f = fopen("corner_raws.bin", "rb"); while (fread(&u, 4, 1, f) == 1) r.raws.push_back(u); fclose(f);
    std::vector<float> v; boost::random::detail::unit_normal_distribution<float> d;
    while (r.used + 300 < r.raws.size()) v.push_back(d(r));
    save("corner_values", v); save("corner_next", std::vector<unsigned>(1, r.raws[r.used])); }
}
