// SPDX-License-Identifier: Apache-2.0
// Breaks every entry of .clang-tidy at least once; never compiled. tests/lint/tidy_canary.py runs
// clang-tidy over it and compares what fires, line by line, with the comments at the end of its
// lines. Each comment belongs to its line, however long.
// clang-format off
#include <stdio.h>

#include <cassert>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <string>  // expect: readability-duplicate-include
#include <stdexcept>
#include <utility>
#include <vector>

#define LIMIT(x) x * 2  // expect: bugprone-macro-parentheses readability-identifier-naming

using namespace std;  // expect: google-build-using-namespace

namespace std {  // expect: cert-dcl58-cpp
struct ours {};  // expect: readability-identifier-naming
}  // namespace std

namespace files = std::chrono;  // expect: misc-unused-alias-decls

// Names.
namespace Outer {  // expect: modernize-concat-nested-namespaces readability-identifier-naming
namespace inner {
int twice();
using std::multimap;  // expect: misc-unused-using-decls
}  // namespace inner
}  // namespace Outer
enum class colour { kRed, green };          // expect: readability-identifier-naming
enum class Water { kSalt, kFresh, brown };  // expect: readability-identifier-naming
using bytes_t = unsigned long;              // expect: readability-identifier-naming
const int limit = 1;                        // expect: readability-identifier-naming
constexpr int Floor = 2;                    // expect: readability-identifier-naming
int DoIt(int Amount);                       // expect: readability-identifier-naming
typedef int Count;                          // expect: modernize-use-using
template <typename kind>                    // expect: readability-identifier-naming
struct Box {
  kind it;
};
union Either {
  int one;
};
union either_or {  // expect: readability-identifier-naming
  int one;
};
class plain_name {  // expect: readability-identifier-naming
 public:
  int Twice();                // expect: readability-identifier-naming
  static const int depth = 1;  // expect: readability-identifier-naming
};
int Global = 0;  // expect: readability-identifier-naming
int counts() {
  static const int once = 1;  // expect: readability-identifier-naming
  return once;
}
class Names {
 public:
  int Plain = 0;  // expect: readability-identifier-naming
  int twice() { return hidden * 2; }

 private:
  int hidden = 0;  // expect: readability-identifier-naming
};

// Classes.
struct Base {  // expect: cppcoreguidelines-virtual-class-destructor
  virtual int weigh(int by = 1) { return by; }  // expect: google-default-arguments
  int depth = 0;
};
struct Derived : Base {  // expect: cppcoreguidelines-virtual-class-destructor
  int weigh(int by = 2) { return by; }  // expect: google-default-arguments modernize-use-override
  int extra = 0;
};
Base slice(const Derived& derived) { return derived; }  // expect: cppcoreguidelines-slicing

class Half {  // expect: cppcoreguidelines-special-member-functions
 public:
  Half(int whole) { whole_ = whole; }  // expect: google-explicit-constructor cppcoreguidelines-prefer-member-initializer
  ~Half() { delete name_; }

 private:
  int whole_;
  string* name_ = nullptr;
};
class Uninitialised {  // expect: cppcoreguidelines-special-member-functions
 public:
  Uninitialised() {}  // expect: cppcoreguidelines-pro-type-member-init modernize-use-equals-default
  explicit Uninitialised(const string& name) : name_(name) {}  // expect: modernize-pass-by-value cppcoreguidelines-pro-type-member-init

 public:  // expect: readability-redundant-access-specifiers
  int value;

 private:
  Uninitialised(const Uninitialised&);  // expect: modernize-use-equals-delete
  string name_;
};
class Defaults {
 public:
  Defaults() : text_(), value_(3) {}  // expect: readability-redundant-member-init

 private:
  string text_;
  int value_;  // expect: modernize-use-default-member-init
};
struct OldThrow {
  void shrink() throw();  // expect: modernize-use-noexcept
  static int count();
};

// Functions.
extern int declared();
extern int declared();                      // expect: readability-redundant-declaration
int nothing(void) { return 0; }             // expect: modernize-redundant-void-arg
int unused(int amount) { return 0; }        // expect: misc-unused-parameters
const int constant() { return 1; }          // expect: readability-const-return-type
void by_value(const int amount);            // expect: readability-avoid-const-params-in-decls
void named(int before);                     // expect: readability-inconsistent-declaration-parameter-name
void named(int after) { printf("%d", after); }
int reads(int* from) { return *from; }      // expect: readability-non-const-parameter
void copies(string text) { puts(text.c_str()); }  // expect: performance-unnecessary-value-param
void done() {
  puts("done");
  return;  // expect: readability-redundant-control-flow
}
void many(int, int, int, int, int, int, int, int last) { printf("%d", last); }  // expect: readability-function-size
int nested(int depth) {  // expect: readability-function-cognitive-complexity
  if (depth > 1) {
    if (depth > 2) {
      if (depth > 3) {
        if (depth > 4) {
          if (depth > 5) {
            if (depth > 6) {
              if (depth > 7) puts("deep");
            }
          }
        }
      }
    }
  }
  return depth;
}
int otherwise(bool yes) {
  if (yes) {
    return 1;
  } else {  // expect: readability-else-after-return
    return 2;
  }
}
bool simple(int value) {
  if (value > 3) return true;  // expect: readability-simplify-boolean-expr
  return false;
}
namespace {
static int local() { return 1; }  // expect: readability-static-definition-in-anonymous-namespace
}  // namespace

// Expressions.
void asserts() {
  assert(sizeof(int) == 4);  // expect: misc-static-assert
}
void throws() {
  try {
    throw out_of_range("here");
  } catch (exception caught) {  // expect: misc-throw-by-value-catch-by-reference
    puts(caught.what());
  }
}
int parses(const char* text) { return atoi(text); }  // expect: cert-err34-c
void overflow(char* into, const char* from) {
  strcpy(into, from);  // expect: clang-analyzer-security.insecureAPI.strcpy
}
int divides() {
  int zero = 0;
  return 1 / zero;  // expect: clang-analyzer-core.DivideZero
}
int leaks() {
  int* there = new int(3);  // expect: clang-analyzer-deadcode.DeadStores
  return 1;  // expect: clang-analyzer-cplusplus.NewDeleteLeaks
}
int dead(int value) {
  int first = value;
  first = 2;          // expect: clang-analyzer-deadcode.DeadStores
  return value;
}
int mallocs() {
  auto* room = malloc(3);  // expect: cppcoreguidelines-no-malloc
  return room == nullptr;  // expect: clang-analyzer-unix.Malloc
}
void expressions(const char* text, vector<string>& list, map<int, int>& table) {
  int undefined;  // expect: cppcoreguidelines-init-variables
  int one = 1, two = 2;  // expect: readability-isolate-declaration
  undefined = one == one ? two : one;  // expect: misc-redundant-expression clang-analyzer-deadcode.DeadStores
  const_cast<char*>(text)[0] = 0;  // expect: cppcoreguidelines-pro-type-const-cast
  int* null = nullptr;
  bool flag = 1;  // expect: modernize-use-bool-literals
  if (list.size() == 0) puts("");  // expect: readability-container-size-empty
  if (table.count(3) != 0) puts("");  // expect: readability-container-contains
  for (const string item : list) puts(item.c_str());  // expect: performance-for-range-copy
  for (size_t i = 0; i < list.size(); ++i) puts(list[i].c_str());  // expect: modernize-loop-convert
  auto bound = bind(printf, "%d", 3);  // expect: modernize-avoid-bind
  auto shared = shared_ptr<int>(new int(1));  // expect: modernize-make-shared
  auto unique = unique_ptr<int>(new int(1));  // expect: modernize-make-unique
  vector<pair<int, int>> pairs;
  pairs.push_back(make_pair(1, 2));
  if (null) delete null;  // expect: readability-delete-null-pointer
  auto pointer = unique.get();  // expect: readability-qualified-auto clang-analyzer-deadcode.DeadStores
  string empty = "";  // expect: readability-redundant-string-init
  list[0] = string(empty.c_str());  // expect: readability-redundant-string-cstr
  if (empty.compare(text) == 0) puts("");  // expect: readability-string-compare
  if (*unique.get() == 3) puts("");  // expect: readability-redundant-smartptr-get
  delete unique.release();  // expect: readability-uniqueptr-delete-release
  OldThrow old;
  old.count();  // expect: readability-static-accessed-through-instance
  if (flag)
    puts("");
    puts("");  // expect: readability-misleading-indentation
}
