// The library of operators, and the Python module whose import registers them. Kernels register beside their code.
#include <Python.h>
#include <torch/csrc/stable/library.h>

#include <exception>

#include "cpu/row_kernels.h"
#include "schemas.h"

STABLE_TORCH_LIBRARY(cmlfast, m) { cmlfast::define_operators(m); }

static PyObject* cpu_isa(PyObject*, PyObject*) {
  try {
    return PyUnicode_FromString(cmlfast::row_kernels().isa);
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
    return nullptr;
  }
}

PyMODINIT_FUNC PyInit__C(void) {
  static PyMethodDef methods[] = {{"cpu_isa", cpu_isa, METH_NOARGS, "The CPU instruction set that the kernels use."},
                                  {nullptr, nullptr, 0, nullptr}};
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}
