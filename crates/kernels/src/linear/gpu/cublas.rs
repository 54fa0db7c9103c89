//! Matrix products by cuBLASLt, where a CUDA device and NVIDIA's library are at hand.
//!
//! The instructions that a Hopper GPU's tensor cores need for their full speed (`wgmma`) are in neither of the framework's code
//! generators, so a product by [`super::kernel`] reaches a quarter of what the device can do. Everywhere else that kernel is
//! used; so it is here when the library is not installed.
//!
//! The library is called on the thread that launches the framework's kernels, in its turn, so nobody waits for it. The
//! framework keeps its streams to itself, so the library has one of its own: an event that stands for everything the device
//! was given before comes first, and everything that it is given afterwards waits for a second event.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Mutex;

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::cuda::CudaRuntime;
use cubecl::device_handle::DeviceHandle;
use cubecl::server::{Handle, ServerError, ServerStorage};
use cubecl_environment::stream::StreamId;
use cubecl_runtime::runtime::Runtime;
use cudarc::cublaslt::{result as lt, sys};
use cudarc::driver::{result as driver, sys as cu};

use super::plan::{Order, dense, order};
use crate::gpu::launch::{dense as in_rows, dims, output};

type CudaServer = <CudaRuntime as Runtime>::Server;

/// Memory that the library may use within a product: what NVIDIA recommends for Hopper.
const WORKSPACE: usize = 32 << 20;

/// The fewest multiplications, in 16 bits, that are worth the events around them: below, [`super::kernel`] needs no longer
/// than the device takes to change streams. In 32 bits the library is the only one that need not be tuned.
const WORTH_IT: usize = 1 << 30;

/// How a factor is read: `cublasOperation_t`, which the bindings of this library leave out.
const AS_IT_LIES: i32 = 0;
const TRANSPOSED: i32 = 1;

/// A kind of product: everything that the library chooses an algorithm by.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Problem {
    /// `[rows, depth] · [depth, columns]`
    rows: usize,
    columns: usize,
    depth: usize,
    orders: [Order; 2],
    factors: DType,
    out: DType,
}

/// `a · b` as `out`, or `None` where the library cannot be had or is not worth it.
pub(super) fn product(a: &CubeTensor, b: &CubeTensor, out: DType) -> Option<CubeTensor> {
    let device = device_for(a, b)?;
    let (a, b, problem) = read(a, b, out)?;
    let y = output(&a, [problem.rows, problem.columns], out);
    let places = Places { a: a.handle, b: b.handle, onto: None, y: y.handle.clone() };
    device.submit(move |server| multiply(server, problem, places));
    Some(y)
}

/// `onto + a · b`, or `onto` again where the library cannot be had or is not worth it.
pub(super) fn product_onto(onto: CubeTensor, a: &CubeTensor, b: &CubeTensor) -> Result<CubeTensor, CubeTensor> {
    let Some(device) = device_for(a, b) else { return Err(onto) };
    let Some((a, b, problem)) = read(a, b, onto.dtype) else { return Err(onto) };
    let onto = in_rows(onto);
    let y = if onto.can_mut() { onto.clone() } else { output(&onto, [problem.rows, problem.columns], onto.dtype) };
    let places = Places { a: a.handle, b: b.handle, onto: Some(onto.handle), y: y.handle.clone() };
    device.submit(move |server| multiply(server, problem, places));
    Ok(y)
}

/// The device of both factors, if it has the library and the product is worth it.
fn device_for(a: &CubeTensor, b: &CubeTensor) -> Option<DeviceHandle<CudaServer>> {
    let (shape, columns) = (dims(a), dims(b)[1]);
    if a.dtype != DType::F32 && shape[0] * shape[1] * columns < WORTH_IT {
        return None;
    }
    let service = a.client.service_id();
    if service.service != std::any::TypeId::of::<CudaServer>() {
        return None;
    }
    let device = DeviceHandle::<CudaServer>::new(service.device);
    is_available(&device).then_some(device)
}

/// Both factors without gaps, and what the library is asked.
fn read(a: &CubeTensor, b: &CubeTensor, out: DType) -> Option<(CubeTensor, CubeTensor, Problem)> {
    let (a, b) = (dense(a.clone()), dense(b.clone()));
    let (shape, columns) = (dims(&a), dims(&b)[1]);
    let orders = [order(&a)?, order(&b)?];
    let problem = Problem { rows: shape[0], columns, depth: shape[1], orders, factors: a.dtype, out };
    Some((a, b, problem))
}

/// Where the tensors of a product lie; `onto`, if there is one, is added to it, and may be where the result goes.
struct Places<T> {
    a: T,
    b: T,
    onto: Option<T>,
    y: T,
}

/// Whether the library was found and knows the device; asked once for each device.
fn is_available(device: &DeviceHandle<CudaServer>) -> bool {
    static KNOWN: Mutex<Vec<(u16, bool)>> = Mutex::new(vec![]);
    let index = device.device_id().index_id;
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some((_, available)) = known.iter().find(|(other, _)| *other == index) {
        return *available;
    }
    let available = device.submit_blocking(|_| {
        LIBRARY.with_borrow_mut(|library| match Library::open(index) {
            Ok(opened) => {
                *library = Some(opened);
                true
            }
            Err(reason) => {
                tracing::warn!("matrix products go without cuBLASLt: {reason}");
                false
            }
        })
    });
    let available = available.unwrap_or(false);
    known.push((index, available));
    available
}

/// Runs a product on the thread of the device.
fn multiply(server: &mut CudaServer, problem: Problem, places: Places<Handle>) {
    let stream = StreamId::current();
    let bytes = places.y.size_in_used() as usize;
    let mut address = |handle: Handle| server.get_resource(handle.binding(), stream).map(|found| found.resource().ptr);
    // A result that could not be allocated carries its own error to whoever reads it.
    let Ok(y) = address(places.y) else { return };
    let read = || {
        let [a, b] = [address(places.a)?, address(places.b)?];
        Ok(Places { a, b, onto: places.onto.map(address).transpose()?, y })
    };
    LIBRARY.with_borrow_mut(|library| {
        let Some(library) = library else { return };
        let addresses = read().map_err(|error: ServerError| format!("{error:?}"));
        if let Err(reason) = addresses.and_then(|addresses| library.multiply(problem, addresses)) {
            tracing::error!("{problem:?}: {reason}");
            library.spoil(y, bytes);
        }
    });
}

thread_local! {
    /// Of the thread that launches on a device.
    static LIBRARY: RefCell<Option<Library>> = const { RefCell::new(None) };
}

type OnContext = unsafe extern "C" fn(cu::CUcontext, cu::CUevent) -> cu::CUresult;

struct Library {
    handle: sys::cublasLtHandle_t,
    context: cu::CUcontext,
    stream: cu::CUstream,
    /// Everything before a product, and the product.
    before: cu::CUevent,
    after: cu::CUevent,
    workspace: cu::CUdeviceptr,
    /// `cuCtxRecordEvent` and `cuCtxWaitEvent`, which drivers have since CUDA 12.5.
    record: OnContext,
    wait: OnContext,
    plans: HashMap<Problem, Plan>,
}

/// What the library wants to be told about a [`Problem`], kept for as long as the program runs.
struct Plan {
    product: sys::cublasLtMatmulDesc_t,
    /// Of the left factor, the right factor and the result.
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Library {
    /// To be called on the thread that launches on the device: its context is the current one.
    fn open(index: u16) -> Result<Self, String> {
        // SAFETY: asks whether a library can be loaded.
        if !unsafe { sys::is_culib_present() } {
            return Err("libcublasLt was not found; it comes with the CUDA toolkit".into());
        }
        let [record, wait] = [c"cuCtxRecordEvent", c"cuCtxWaitEvent"].map(of_driver);
        let text = |error: cudarc::driver::DriverError| error.to_string();
        let device = driver::device::get(i32::from(index)).map_err(text)?;
        // SAFETY: the framework holds the device's primary context for as long as its thread runs, and so do we.
        let context = unsafe { driver::primary_ctx::retain(device) }.map_err(text)?;
        unsafe { driver::ctx::set_current(context) }.map_err(text)?;
        let event = || driver::event::create(cu::CUevent_flags::CU_EVENT_DISABLE_TIMING).map_err(text);
        let library = Self {
            handle: lt::create_handle().map_err(|error| error.to_string())?,
            context,
            stream: driver::stream::create(driver::stream::StreamKind::NonBlocking).map_err(text)?,
            before: event()?,
            after: event()?,
            // SAFETY: nothing reads it before it is written.
            workspace: unsafe { driver::malloc_sync(WORKSPACE) }.map_err(text)?,
            record: record?,
            wait: wait?,
            plans: HashMap::new(),
        };
        library.wait_for_others()?;
        library.let_others_wait()?;
        Ok(library)
    }

    /// What the library does next comes after everything that the device was given before.
    fn wait_for_others(&self) -> Result<(), String> {
        // SAFETY: context, stream and event live as long as the library.
        unsafe {
            (self.record)(self.context, self.before).result().map_err(|error| error.to_string())?;
            driver::stream::wait_event(self.stream, self.before, cu::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT)
        }
        .map_err(|error| error.to_string())
    }

    /// What the device is given next comes after everything that the library was asked to do.
    fn let_others_wait(&self) -> Result<(), String> {
        // SAFETY: as above.
        unsafe {
            driver::event::record(self.after, self.stream).map_err(|error| error.to_string())?;
            (self.wait)(self.context, self.after).result().map_err(|error| error.to_string())
        }
    }

    /// Makes every value of a result that was not computed not a number, so that nobody takes it for one.
    fn spoil(&self, y: u64, bytes: usize) {
        // Where the device fails at this too, it fails whoever reads from it next.
        let _ = self.wait_for_others();
        // SAFETY: the result is as long as it was allocated.
        let _ = unsafe { driver::memset_d8_async(y, 0xff, bytes, self.stream) };
        let _ = self.let_others_wait();
    }

    /// `y = a · b`, or `onto + a · b`, by their addresses.
    fn multiply(&mut self, problem: Problem, places: Places<u64>) -> Result<(), String> {
        let Places { a, b, onto, y } = places;
        if !self.plans.contains_key(&problem) {
            let plan = Plan::new(self.handle, problem).map_err(|error| error.to_string())?;
            self.plans.insert(problem, plan);
        }
        let plan = &self.plans[&problem];
        self.wait_for_others()?;
        let (one, kept) = (1f32, if onto.is_some() { 1f32 } else { 0f32 });
        // The library counts by columns: a row-major product `a · b` is to it `bᵀ · aᵀ`, so the factors change places.
        // SAFETY: addresses and layouts are those of tensors with the shapes of `problem`. Their memory may be given to others
        // only by this thread, and what they do with it comes after the product.
        unsafe {
            lt::matmul(
                self.handle,
                plan.product,
                (&raw const one).cast(),
                (&raw const kept).cast(),
                b as *const c_void,
                plan.layouts[0],
                a as *const c_void,
                plan.layouts[1],
                onto.unwrap_or(y) as *const c_void,
                plan.layouts[2],
                y as *mut c_void,
                plan.layouts[2],
                &plan.algorithm,
                self.workspace as *mut c_void,
                WORKSPACE,
                self.stream.cast(),
            )
        }
        .map_err(|error| error.to_string())?;
        self.let_others_wait()
    }
}

impl Plan {
    fn new(handle: sys::cublasLtHandle_t, problem: Problem) -> Result<Self, lt::CublasError> {
        let Problem { rows, columns, depth, orders: [order_a, order_b], .. } = problem;
        let kind = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let product = lt::create_matmul_desc(kind, sys::cudaDataType_t::CUDA_R_32F)?;
        // A matrix that lies by rows is, counted by columns, its own transpose, which is what the library is to multiply.
        let side = |order: Order, [lines, length]: [usize; 2], dtype| {
            let [lines, length] = if order == Order::Rows { [lines, length] } else { [length, lines] };
            lt::create_matrix_layout(data_type(dtype), length as u64, lines as u64, length as i64)
        };
        let layouts = [
            side(order_b, [depth, columns], problem.factors)?,
            side(order_a, [rows, depth], problem.factors)?,
            side(Order::Rows, [rows, columns], problem.out)?,
        ];
        use sys::cublasLtMatmulDescAttributes_t::{CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB};
        for (attribute, order) in [(CUBLASLT_MATMUL_DESC_TRANSA, order_b), (CUBLASLT_MATMUL_DESC_TRANSB, order_a)] {
            let operation = if order == Order::Rows { AS_IT_LIES } else { TRANSPOSED };
            // SAFETY: the attribute is read from a value of its type.
            unsafe {
                lt::set_matmul_desc_attribute(
                    product,
                    attribute,
                    (&raw const operation).cast(),
                    size_of_val(&operation),
                )?;
            }
        }
        let preference = lt::create_matmul_pref()?;
        let attribute = sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        // SAFETY: as above; all descriptors were made above.
        let best = unsafe {
            let size = WORKSPACE as u64;
            lt::set_matmul_pref_attribute(preference, attribute, (&raw const size).cast(), size_of::<u64>())?;
            let [a, b, y] = layouts;
            let best = lt::get_matmul_algo_heuristic(handle, product, a, b, y, y, preference);
            lt::destroy_matmul_pref(preference)?;
            best?
        };
        Ok(Self { product, layouts, algorithm: best.algo })
    }
}

fn data_type(dtype: DType) -> sys::cudaDataType_t {
    match dtype {
        DType::BF16 => sys::cudaDataType_t::CUDA_R_16BF,
        DType::F16 => sys::cudaDataType_t::CUDA_R_16F,
        _ => sys::cudaDataType_t::CUDA_R_32F,
    }
}

/// A function of the driver by its name: these two are missing where the bindings were made for an older toolkit.
fn of_driver(name: &std::ffi::CStr) -> Result<OnContext, String> {
    use libloading::Library;
    let file = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };
    // SAFETY: the driver is loaded already, and both functions have this signature since they exist.
    let found = unsafe {
        let library = std::mem::ManuallyDrop::new(Library::new(file).map_err(|error| error.to_string())?);
        library.get::<OnContext>(name.to_bytes_with_nul()).map(|function| *function)
    };
    found.map_err(|_| format!("the driver has no {}; CUDA 12.5 or newer has it", name.to_string_lossy()))
}
