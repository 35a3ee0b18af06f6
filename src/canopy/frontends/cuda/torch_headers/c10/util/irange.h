// Written for Canopy.
#pragma once
namespace c10 {
template <typename T> class integer_range {
 public:
  class iterator {
   public:
    explicit iterator(T at) : at_(at) {}
    T operator*() const { return at_; }
    iterator& operator++() { ++at_; return *this; }
    bool operator!=(const iterator& other) const { return at_ != other.at_; }

   private:
    T at_;
  };
  integer_range(T first, T last) : first_(first), last_(last < first ? first : last) {}
  iterator begin() const { return iterator(first_); }
  iterator end() const { return iterator(last_); }

 private:
  T first_, last_;
};
template <typename T> integer_range<T> irange(T last) { return {T(0), last}; }
template <typename A, typename B> integer_range<B> irange(A first, B last) { return {(B)first, last}; }
}  // namespace c10
