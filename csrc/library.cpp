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

// The CUDA architectures that setup.py compiled kernels for; empty without.
#ifndef CMLFAST_CUDA_ARCHITECTURES
#define CMLFAST_CUDA_ARCHITECTURES ""
#endif

static PyObject* cuda_architectures(PyObject*, PyObject*) { return PyUnicode_FromString(CMLFAST_CUDA_ARCHITECTURES); }

PyMODINIT_FUNC PyInit__C(void) {
  static PyMethodDef methods[] = {{"cpu_isa", cpu_isa, METH_NOARGS, "The CPU instruction set that the kernels use."},
                                  {"cuda_architectures", cuda_architectures, METH_NOARGS,
                                   "The architectures that there are CUDA kernels for, as in '80 90'."},
                                  {nullptr, nullptr, 0, nullptr}};
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}
